"""``chunkdl mirrors list|add|remove``, and what ``test`` refuses before it measures anything."""

import json
import sys
import tomllib

import pytest
from cli_stage import Stage

from chunkdl.mirrors.memory import load_memory
from chunkdl.mirrors.remembered import Seen, Way

WRITTEN = """# my mirrors
trust = "auto"  # as it should be

[[mirror]]  # the lab's
url = "http://10.0.0.5:8090"
name = "lab"

# the end
"""


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config" / "chunkdl" / "chunkdl.toml"


def write(path, text=WRITTEN):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def again(stage, tmp_path, *argv):
    fresh = Stage(tmp_path)
    return fresh.run(*argv), fresh


class TestList:
    def test_shows_the_origin_those_in_use_and_those_known_with_their_caveats(self, stage):
        assert stage.run("mirrors", "list") == 0
        lines = stage.out.splitlines()
        assert lines[0].split() == ["NAME", "STATE", "KIND", "CONNECTIONS", "FROM"]
        assert lines[1].split() == ["huggingface.co", "origin", "hf", "16", "default"]
        assert "hf-mirror.com     on      hf          4            built-in" in stage.out
        assert "    caveat: runs on donations" in stage.out
        assert "hf-api.gitee.com  off" in stage.out

    def test_json_has_everything_and_no_secret(self, stage, path):
        table = '[[mirror]]\nurl = "https://a.example"\nproxy = "http://u:hunter2@p:1"\ntoken_env = "A_TOKEN"\n'
        write(path, f'{table}operator = "A"\n[[mirror]]\nurl = "https://b.example"\nenabled = false\n')
        stage.environ["A_TOKEN"] = "a_secret"
        assert stage.run("mirrors", "list", "--json") == 0
        shown = {each["name"]: each for each in stage.json["mirrors"]}
        assert stage.json["schema"] == 1
        assert (shown["a.example"]["proxy"], shown["a.example"]["has_token"]) == ("http://p:1", True)
        assert shown["a.example"]["facts"] == {"operator": "A"}
        assert shown["a.example"]["where"] == f"{path}:2"
        assert (shown["b.example"]["state"], shown["huggingface.co"]["state"]) == ("off", "origin")
        assert "hunter2" not in stage.out
        assert "a_secret" not in stage.out

    def test_shows_what_past_runs_taught(self, stage, tmp_path):
        way = Way("https://hf-mirror.com", "cdn.example:443", "http://p:1")
        load_memory(tmp_path / "state").learn([Seen(way, 3 << 20, 2, 1)], 1_000_000_000.0)
        assert stage.run("mirrors", "list", "--json") == 0
        [learnt] = next(each for each in stage.json["mirrors"] if each["name"] == "hf-mirror.com")["learnt"]
        assert (learnt["host"], learnt["proxy"]) == ("cdn.example:443", "http://p:1")
        code, fresh = again(stage, tmp_path, "mirrors", "list")
        assert code == 0
        assert "learnt: from cdn.example:443 through http://p:1 (" in fresh.out

    def test_a_spoilt_memory_is_a_note(self, stage, tmp_path):
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "mirrors.json").write_text("{")
        assert stage.run("mirrors", "list") == 0
        assert "note: the memory of mirrors was spoilt" in stage.err

    def test_a_bad_file_is_refused_with_line_and_key(self, stage, path):
        write(path, 'trust = "auto"\nprivat = ["corp/*"]')
        assert stage.run("mirrors", "list", "--json") == 2
        assert f"{path}:2: unknown key 'privat'" in stage.json["error"]["message"]
        assert stage.json["mirrors"] == []
        assert stage.err.startswith(f"error: {path}:2: unknown key 'privat'\nhint: ")


class TestAdd:
    def test_keeps_comments_and_says_where(self, stage, path):
        write(path)
        argv = ("--name", "one", "--connections", "2", "--limit-rate", "20M", "--operator", "The Lab")
        assert stage.run("mirrors", "add", "https://one.example", *argv) == 0
        text = path.read_text()
        for line in WRITTEN.splitlines():
            assert line in text
        added = tomllib.loads(text)["mirror"][1]
        assert added == {
            "url": "https://one.example",
            "name": "one",
            "max_connections": 2,
            "rate_cap_bytes_per_s": 20 << 20,
            "operator": "The Lab",
        }
        assert stage.err == f"done: https://one.example is added ({path})\n"
        assert stage.out == ""

    def test_a_folder_of_checkpoints_and_the_addresses_that_it_holds(self, stage, path, tmp_path):
        argv = ("static+https://lan.example/torch", "--replaces", "https://download.pytorch.org/models/")
        assert stage.run("mirrors", "add", *argv) == 0
        [table] = tomllib.loads(path.read_text())["mirror"]
        assert (table["kind"], table["replaces"]) == ("static", "https://download.pytorch.org/models/")
        _, fresh = again(stage, tmp_path, "mirrors", "list")
        assert "policy: instead of https://download.pytorch.org/models/" in fresh.out

    def test_what_is_wrong_is_not_told_by_lines_of_a_file_that_nobody_wrote(self, stage, path):
        assert stage.run("mirrors", "add", "a.example", "--connections", "17") == 2
        assert stage.err.startswith("error: https://a.example: mirror 1: max_connections: 17 is not between")
        assert "hint: nothing was written" in stage.err
        assert not path.exists()

    def test_makes_the_file_if_there_is_none(self, stage, path, tmp_path):
        assert stage.run("mirrors", "add", "one.example", "--json") == 0
        assert stage.json["mirrors"] == ["one.example"]
        assert path.read_text() == '[[mirror]]\nurl = "https://one.example"\n'
        _, fresh = again(stage, tmp_path, "mirrors", "list", "--json")
        assert "one.example" in [each["name"] for each in fresh.json["mirrors"] if each["state"] == "on"]

    def test_a_known_one_is_added_by_its_name(self, stage, path):
        assert stage.run("mirrors", "add", "hub.opencsg.com") == 0
        assert tomllib.loads(path.read_text())["mirror"] == [{"url": "https://hub.opencsg.com/hf"}]

    def test_the_file_keeps_its_mode_and_its_link(self, stage, path, tmp_path):
        real = tmp_path / "dotfiles.toml"
        write(path)
        path.rename(real)
        real.chmod(0o600)
        path.symlink_to(real)
        assert stage.run("mirrors", "add", "one.example") == 0
        assert path.is_symlink()
        assert real.stat().st_mode & 0o777 == 0o600
        assert "one.example" in real.read_text()
        assert [each.name for each in path.parent.iterdir()] == ["chunkdl.toml"]

    def test_an_inline_array_of_mirrors_is_kept_as_one(self, stage, path):
        write(path, 'mirror = [{url = "https://a.example"}]  # short\n')
        assert stage.run("mirrors", "add", "b.example") == 0
        assert [each["url"] for each in tomllib.loads(path.read_text())["mirror"]] == [
            "https://a.example",
            "https://b.example",
        ]

    @pytest.mark.parametrize(
        ("argv", "says"),
        [
            (("http://10.0.0.5:8090",), ":5: mirror 1: url: http://10.0.0.5:8090 is there already"),
            (("hf-mirror.com",), "built in and on already"),
            (("huggingface.co",), "is the origin"),
            (("nonsense",), "no such mirror is known"),
            (("modelscope.cn",), "built in and on already"),
            (("modelscope+https://modelscope.cn/x",), "a ModelScope server has no path"),
            (("https://u:hunter2@a.example",), "user name or password"),
            (("a.example", "--connections", "17"), "mirror 2: max_connections: 17 is not between"),
            (("a.example", "--proxy", "ftp://u:hunter2@x"), "mirror 2: proxy: no proxy"),
            (("a.example", "--replaces", "https://b.example"), "only a static mirror replaces addresses"),
            (("a.example", "--ca-file", "absent.pem"), "absent.pem is no file"),
            (("a.example", "--token-env", "hf_" + "a" * 30), "the name of a variable, not a token"),
            (("a.example", "--token-env", "MY TOKEN"), "the name of a variable"),
            (("a.example", "--limit-rate", "fast"), "fast"),
        ],
    )
    def test_what_cannot_be_leaves_the_file_as_it_was(self, stage, path, argv, says):
        write(path)
        assert stage.run("mirrors", "add", *argv) == 2
        assert says in stage.err
        assert "hunter2" not in stage.err
        assert "a" * 30 not in stage.err
        assert path.read_text() == WRITTEN

    def test_a_folder_that_cannot_be_written_is_told(self, stage, path):
        path.parent.parent.mkdir(parents=True)
        path.parent.write_text("in the way")
        assert stage.run("mirrors", "add", "a.example") == 6
        assert stage.err.startswith("error: ")


class TestRemove:
    @pytest.mark.parametrize("place", ["lab", "http://10.0.0.5:8090", "https://10.0.0.5:8090/"])
    def test_takes_it_out_by_name_or_url_and_keeps_the_rest(self, stage, path, place):
        write(path)
        assert stage.run("mirrors", "remove", place) == 0
        assert path.read_text().startswith('# my mirrors\ntrust = "auto"  # as it should be\n')
        assert "mirror" not in tomllib.loads(path.read_text())

    def test_a_built_in_one_is_switched_off_and_on_again(self, stage, path, tmp_path):
        assert stage.run("mirrors", "remove", "hf-mirror.com") == 0
        assert tomllib.loads(path.read_text()) == {"mirror": [{"url": "https://hf-mirror.com", "enabled": False}]}
        _, fresh = again(stage, tmp_path, "mirrors", "list", "--json")
        assert [each["name"] for each in fresh.json["mirrors"] if each["state"] == "on"] == ["modelscope.cn"]
        assert again(stage, tmp_path, "mirrors", "add", "hf-mirror.com")[0] == 0
        _, fresh = again(stage, tmp_path, "mirrors", "list", "--json")
        names = [each["name"] for each in fresh.json["mirrors"] if each["state"] == "on"]
        assert names == ["hf-mirror.com", "modelscope.cn"]

    def test_modelscope_is_switched_off_and_on_like_any_other(self, stage, path, tmp_path):
        assert stage.run("mirrors", "remove", "modelscope.cn") == 0
        _, fresh = again(stage, tmp_path, "mirrors", "list", "--json")
        assert [each["name"] for each in fresh.json["mirrors"] if each["state"] == "on"] == ["hf-mirror.com"]
        assert again(stage, tmp_path, "mirrors", "add", "modelscope.cn")[0] == 0
        _, fresh = again(stage, tmp_path, "mirrors", "list", "--json")
        [listed] = [each for each in fresh.json["mirrors"] if each["name"] == "modelscope.cn"]
        assert (listed["state"], listed["kind"], listed["max_connections"]) == ("on", "modelscope", 8)

    def test_another_modelscope_server_is_kept_with_its_kind(self, stage, path):
        assert stage.run("mirrors", "add", "modelscope+https://ms.corp.example") == 0
        [table] = tomllib.loads(path.read_text())["mirror"]
        assert table == {"url": "https://ms.corp.example", "kind": "modelscope"}

    def test_a_built_in_one_that_was_configured_is_switched_off_too(self, stage, path):
        write(path, '[[mirror]]\nurl = "https://hf-mirror.com"\nmax_connections = 2\n')
        assert stage.run("mirrors", "remove", "hf-mirror.com") == 0
        assert tomllib.loads(path.read_text())["mirror"][0]["enabled"] is False

    def test_one_that_is_not_there_is_a_mistake(self, stage, path):
        write(path)
        assert stage.run("mirrors", "remove", "https://other.example") == 2
        assert "no such mirror is configured" in stage.err
        assert path.read_text() == WRITTEN


class TestTestRefuses:
    @pytest.mark.parametrize(
        ("argv", "says"),
        [
            (("--max-bytes", "many"), "--max-bytes many: no size"),
            (("--max-bytes", "0"), "--max-bytes 0"),
            (("--plot", "out.pdf"), "only .svg and .png"),
            (("--plot", "/absent/out.svg"), "there is no folder /absent"),
            (("--coverage", "/absent/repos.txt"), "cannot be read"),
            (("org/a b",), "no repository id"),
            (("--rounds", "0"), "0"),
        ],
    )
    def test_what_cannot_be_before_anything_is_asked(self, stage, argv, says):
        assert stage.run("mirrors", "test", *argv, "--json") == 2
        assert says in stage.err
        assert json.loads(stage.out)["exit_code"] == 2

    def test_offline(self, stage):
        stage.environ["HF_HUB_OFFLINE"] = "1"
        assert stage.run("mirrors", "test") == 3
        assert "HF_HUB_OFFLINE forbids it" in stage.err
        assert "hint: --online" in stage.err
        assert stage.run("mirrors", "test", "--online", "--max-bytes", "0") == 2

    def test_a_picture_without_matplotlib_and_says_how_to_get_it(self, stage, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        assert stage.run("mirrors", "test", "--plot", "out.svg") == 2
        assert f"hint: {sys.executable} -m pip install matplotlib" in stage.err

    def test_a_list_of_no_repositories(self, stage, tmp_path):
        (tmp_path / "repos.txt").write_text("# nothing\n\n")
        assert stage.run("mirrors", "test", "--coverage", str(tmp_path / "repos.txt")) == 2
        assert "1 to 1000 repositories" in stage.err


@pytest.mark.parametrize("command", ["list", "test", "add", "remove"])
def test_help_has_examples(stage, capsys, command):
    assert stage.run("mirrors", command, "--help") == 0
    assert "Examples:" in capsys.readouterr().out
