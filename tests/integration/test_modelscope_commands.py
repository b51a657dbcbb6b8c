"""The commands that show mirrors, with a ModelScope server among them; and ``ms:`` names on the command line."""

import io
import json
import os
import re
from contextlib import ExitStack

import pytest

from chunkdl.cli.main import main
from chunkdl.cli.surroundings import Surroundings
from chunkdl.testing import HubRepo, MirrorServer, ModelScopeServer, SeededContent, fault
from tests.support.modelscope_scene import COPY, COPY_ID, EXACT, REPO, SECOND, WEIGHTS

NAME = "bert-base-uncased"
DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens


class Command:
    """The command in this process, with everything that it touches in one folder."""

    def __init__(self, folder, **environ):
        self.folder = folder
        places = {"HOME": folder, "XDG_CONFIG_HOME": folder / "config", "HF_HOME": folder / "hf"}
        places["CHUNKDL_STATE_DIR"] = folder / "state"
        self.environ = {name: str(path) for name, path in places.items()} | environ

    def run(self, *argv):
        self.stdout, self.stderr = io.BytesIO(), io.StringIO()
        return main(argv, Surroundings(argv, self.environ, self.stdout, self.stderr))

    @property
    def out(self):
        return self.stdout.getvalue().decode()

    @property
    def json(self):
        [line] = self.out.splitlines()
        return json.loads(line)


@pytest.fixture
def serve():
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(server.in_thread())


@pytest.fixture
def command(tmp_path):
    return Command(tmp_path)


class TestMirrorsTest:
    def test_ranks_one_by_the_share_that_it_proves(self, serve, command):
        origin, scope = serve(MirrorServer([REPO])), serve(ModelScopeServer([COPY], signed_urls=True))
        argv = ["mirrors", "test", NAME, "--origin", origin.url, "--mirror", f"modelscope+{scope.url}", "--rounds", "1"]
        assert command.run(*argv, "--max-bytes", "8M", "--json") == 0
        [shown] = [each for each in command.json["mirrors"] if each["url"] == scope.url]
        assert (shown["kind"], shown["reachable"], shown["ranges"], shown["commit"]) == ("modelscope", True, True, None)
        assert shown["final_host"] == scope.cdn_url.removeprefix("http://")
        assert shown["goodput_1"] > 0
        assert shown["ttfb_ms"]["median"] is not None
        assert shown["wrong_ranges"] == 0
        assert f"has {COPY_ID}@master of 2024-02-19: 1 of 2 files identical by sha256" in shown["lag"]
        [repo] = shown["repos"]
        assert repo["files"] == {"identical": 1, "different": 1, "absent": 0}
        assert repo["share"] == pytest.approx(WEIGHTS.size / (WEIGHTS.size + SECOND.size), abs=0.01)
        assert "holds 72% of the bytes" in shown["reason"]

    def test_says_in_the_table_what_it_has(self, serve, command):
        origin, scope = serve(MirrorServer([REPO])), serve(ModelScopeServer([COPY]))
        argv = ["mirrors", "test", NAME, "--origin", origin.url, "--mirror", f"modelscope+{scope.url}", "--rounds", "1"]
        assert command.run(*argv, "--max-bytes", "4M") == 0
        assert "1 of 2 files identical by sha256, 1 different, 0 absent; 2 not comparable" in command.out

    def test_one_without_the_repository_is_there_and_holds_nothing(self, serve, command):
        origin, scope = serve(MirrorServer([REPO])), serve(ModelScopeServer([HubRepo("a/b", {"x.bin": b"x"})]))
        argv = ["mirrors", "test", NAME, "--origin", origin.url, "--mirror", f"modelscope+{scope.url}", "--rounds", "1"]
        assert command.run(*argv, "--max-bytes", "4M", "--json") == 0
        [shown] = [each for each in command.json["mirrors"] if each["url"] == scope.url]
        assert shown["reachable"] is True
        assert shown["repos"][0]["has_repo"] is False

    def test_who_has_what_by_content(self, serve, command, tmp_path):
        origin = serve(MirrorServer([REPO, TestFetch.MODEL]))
        exact, partial = serve(ModelScopeServer([EXACT])), serve(ModelScopeServer([COPY]))
        (tmp_path / "repos.txt").write_text(f"{NAME}\norg/name\n")
        mirrors = [part for each in (exact, partial) for part in ("--mirror", f"modelscope+{each.url}")]
        argv = ["mirrors", "test", "--coverage", str(tmp_path / "repos.txt"), "--origin", origin.url, *mirrors]
        assert command.run(*argv, "--json") == 0
        places = [each.url.removeprefix("http://") for each in (exact, partial)]
        told = [[row["mirrors"][place]["state"] for place in places] for row in command.json["coverage"]]
        assert told == [["same files", "some files"], ["absent", "absent"]]
        assert exact.bytes_served + partial.bytes_served + origin.bytes_served == 0
        assert command.run(*argv) == 0
        assert re.fullmatch(r"same or there +2 of 2 +1 of 2 +0 of 2", command.out.splitlines()[-1])

    def test_who_has_what_is_not_asked_where_nobody_names_digests(self, serve, command, tmp_path):
        scope = serve(ModelScopeServer([EXACT]))
        (tmp_path / "repos.txt").write_text(NAME)
        argv = ["mirrors", "test", "--coverage", str(tmp_path / "repos.txt"), "--origin", DEAD]
        command.run(*argv, "--mirror", f"modelscope+{scope.url}", "--json")
        [row] = command.json["coverage"]
        assert row["mirrors"][scope.url.removeprefix("http://")]["state"] == "not asked"
        assert scope.requests == 0

    def test_is_not_told_names_where_nobody_names_digests(self, serve, command):
        scope = serve(ModelScopeServer([EXACT]))
        argv = ["mirrors", "test", NAME, "--origin", DEAD, "--mirror", f"modelscope+{scope.url}", "--rounds", "1"]
        assert command.run(*argv, "--json") == 4
        assert scope.requests == 0


class TestDoctor:
    def test_follows_one_to_a_byte(self, serve, command):
        origin, scope = serve(MirrorServer([REPO])), serve(ModelScopeServer([EXACT], signed_urls=True))
        argv = ["doctor", "--origin", origin.url, "--mirror", f"modelscope+{scope.url}", "--json"]
        assert command.run(*argv) == 0, command.out
        source = next(each for each in command.json["sources"] if not each["is_origin"])
        assert [(each["name"], each["ok"]) for each in source["steps"]] == [
            ("tcp", True),
            ("listing", True),
            ("range", True),
        ]
        assert source["steps"][1]["detail"] == f"{COPY_ID}, 6 files"
        assert (source["final_host"], source["ranged"]) == (scope.cdn_url.removeprefix("http://"), True)
        assert scope.bytes_served <= 2

    def test_does_not_take_it_for_somebody_who_could_stand_in(self, serve, command):
        scope = serve(ModelScopeServer([EXACT]))
        assert command.run("doctor", "--origin", DEAD, "--mirror", f"modelscope+{scope.url}", "--json") == 4
        assert "nobody" in {each["code"] for each in command.json["findings"]}

    def test_does_not_hold_an_absent_repository_against_it(self, serve, command):
        origin, scope = serve(MirrorServer([REPO])), serve(ModelScopeServer([HubRepo("a/b", {"x.bin": b"x"})]))
        argv = ["doctor", "--origin", origin.url, "--mirror", f"modelscope+{scope.url}", "--json"]
        assert command.run(*argv) == 0
        source = next(each for each in command.json["sources"] if not each["is_origin"])
        assert source["steps"][-1]["detail"].startswith("answers, and has no bert-base-uncased")

    def test_names_what_is_wrong_with_it(self, serve, command):
        origin = serve(MirrorServer([REPO]))
        scope = serve(ModelScopeServer([EXACT], faults=[fault("envelope-error")]))
        argv = ["doctor", "--origin", origin.url, "--mirror", f"modelscope+{scope.url}", "--json"]
        assert command.run(*argv) == 0
        assert any("system busy" in each["message"] for each in command.json["findings"])


@pytest.mark.parametrize("argv", [("doctor", "ms:org/name"), ("mirrors", "test", "ms:org/name")])
def test_names_of_modelscope_are_not_told_to_another_hub(serve, tmp_path, argv):
    origin = serve(MirrorServer([REPO]))
    command = Command(tmp_path, CHUNKDL_ORIGIN=origin.url)
    assert command.run(*argv) == 2
    assert origin.requests == 0


class TestFetch:
    MODEL = HubRepo(
        "org/name", {"config.json": b'{"model_type": "bert"}', "model.safetensors": SeededContent(4, 900_000)}
    )

    def test_a_name_of_modelscope_and_how_to_load_it(self, serve, tmp_path):
        server = serve(ModelScopeServer([self.MODEL]))
        command = Command(tmp_path, MODELSCOPE_ENDPOINT=server.url)
        folder = tmp_path / "out"
        assert command.run("fetch", "ms:org/name", "--local-dir", str(folder)) == 0
        assert command.out == f"{folder}\n"
        assert f'AutoModel.from_pretrained("{folder}")' in command.stderr.getvalue()

    def test_without_a_folder_the_remedy_is_said(self, serve, tmp_path):
        server = serve(ModelScopeServer([self.MODEL]))
        command = Command(tmp_path, MODELSCOPE_ENDPOINT=server.url)
        assert command.run("fetch", "ms:org/name") == 2
        assert "add --local-dir DIR" in command.stderr.getvalue()
        assert server.requests == 0

    def test_a_plan_costs_no_content(self, serve, tmp_path):
        server = serve(ModelScopeServer([self.MODEL]))
        command = Command(tmp_path, MODELSCOPE_ENDPOINT=server.url)
        assert command.run("fetch", "ms:org/name", "--local-dir", str(tmp_path / "out"), "--dry-run") == 0
        assert server.url.removeprefix("http://") in command.out
        assert "huggingface.co" not in command.out
        assert server.bytes_served <= 1
        assert not (tmp_path / "out").exists()

    def test_with_modelscope_alone_the_error_says_why_it_cannot_stand_in(self, serve, command):
        scope = serve(ModelScopeServer([EXACT]))
        assert command.run("fetch", NAME, "--origin", DEAD, "--mirror", f"modelscope+{scope.url}") == 4
        assert "has contents and knows no commits" in command.stderr.getvalue()
        assert scope.requests == 0

    def test_a_damaged_folder_is_mended_from_where_it_came_and_the_hub_hears_nothing(self, serve, tmp_path):
        server, hub = serve(ModelScopeServer([self.MODEL])), serve(MirrorServer([self.MODEL]))
        command = Command(tmp_path, MODELSCOPE_ENDPOINT=server.url, CHUNKDL_ORIGIN=hub.url)
        folder = tmp_path / "out"
        assert command.run("fetch", "ms:org/name", "--local-dir", str(folder)) == 0
        weights = folder / "model.safetensors"
        times = weights.stat()
        weights.write_bytes(b"damaged" + weights.read_bytes()[7:])
        os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # else it were an edit of its owner's
        assert command.run("verify", str(folder)) == 5
        assert command.run("verify", str(folder), "--repair", "--as", "ms:org/name") == 0
        assert self.MODEL.files["model.safetensors"].first_difference(weights.read_bytes()) is None
        assert hub.requests == 0

    def test_a_folder_holds_no_single_file(self, serve, tmp_path):
        server = serve(ModelScopeServer([self.MODEL]))
        command = Command(tmp_path, MODELSCOPE_ENDPOINT=server.url)
        assert command.run("fetch", "ms:org/name", "--local-dir", str(tmp_path / "out")) == 0
        assert command.run("verify", str(tmp_path / "out"), "--repair", "--as", "torch:resnet50") == 2
        assert "a folder holds a repository" in command.stderr.getvalue()
