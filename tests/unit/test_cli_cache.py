import errno
import hashlib
import json
import os
from pathlib import Path

import jsonschema
import pytest
from cli_stage import REPO_ROOT, Stage, good_report, placed_result

from chunkdl.assemble.local_folder import LocalFolder
from chunkdl.assemble.local_record import FileRecord, write_record
from chunkdl.batch.job import Task, Wish
from chunkdl.batch.queue import QUEUE_FILE, Queue
from chunkdl.caches import proving
from chunkdl.cli.cache import cache, verify
from chunkdl.identify.known_locks import remember_lock
from chunkdl.identify.lockfile import Lock, LockedArtifact, LockedSelection, encode_lock
from chunkdl.model import Reference
from tests.support.caches import Caches, commit, living

BIG = b"w" * 5000
OTHER = b"o" * 3000


class Terminal:
    """stdout of a person."""

    def __init__(self, inner):
        self._inner = inner

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.fixture
def caches(tmp_path):
    return Caches(tmp_path)


@pytest.fixture
def run(tmp_path):
    def go(*argv, code=0, terminal=False):
        stage = Stage(tmp_path, environ={"TORCH_HOME": str(tmp_path / "torch")})
        if terminal:
            stage.stdout = Terminal(stage.stdout)
        assert stage.run(*argv) == code, stage.err
        return stage

    return go


def check(name, answer):
    schema = json.loads((REPO_ROOT / "fixtures" / f"cache-{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(answer)
    return answer


def test_a_person_gets_a_table_and_a_pipe_gets_tabs(caches, run):
    caches.place("org/name", {"a.bin": BIG})
    path = caches.checkpoint("net", OTHER)
    table = run("cache", "ls", terminal=True).out.splitlines()
    assert table[0].split() == ["ID", "SIZE", "LAST", "USED", "MODIFIED", "HOLDS"]
    assert table[1].startswith("org/name")
    assert "1 revision (main)" in table[1]
    rows = [line.split("\t") for line in run("cache", "ls").out.splitlines()]
    assert rows[0] == ["id", "type", "bytes", "accessed", "modified", "holds"]
    assert [row[:3] for row in rows[1:]] == [["org/name", "model", "5000"], [f"torch:{path.name}", "torch", "3000"]]
    assert run("cache", "ls", "-q").out.split() == ["org/name", f"torch:{path.name}"]


def test_revisions_have_lines_of_their_own(caches, run):
    caches.place("org/name", {"a.bin": BIG}, 1, ref="v1")
    caches.place("org/name", {"a.bin": BIG, "b.bin": OTHER}, 2, ref=None)
    lines = run("cache", "ls", "--revisions").out.splitlines()
    assert [line.split("\t")[0] for line in lines[2:]] == [f"org/name@{commit(1)}", f"org/name@{commit(2)}"]
    assert "no ref names it" in run("cache", "ls", "--revisions", terminal=True).out


def test_transfers_say_how_far_they_are_and_who_is_at_them(caches, run):
    caches.begin("org/name", BIG, 2500, owner=living())
    shown = run("cache", "ls", "type=partial", terminal=True).out
    assert "2.44 KiB of 4.88 KiB (50%), for org/name, process" in shown
    (partial,) = check("ls", run("cache", "ls", "--json").json)["partials"]
    assert (partial["owner"], partial["held_bytes"], partial["total_bytes"]) == ("alive", 2500, 5000)


def test_ls_as_one_object(caches, run):
    caches.place("org/name", {"a.bin": BIG})
    caches.checkpoint("net", OTHER)
    answer = check("ls", run("cache", "ls", "--json").json)
    assert answer["totals"]["bytes"] == 8000
    assert answer["repos"][0]["refs"] == {"main": commit(1)}
    check("ls", run("cache", "ls", "size>nonsense", "--json", code=2).json)


def test_trouble_is_said_and_is_no_failure(caches, run):
    repo = caches.place("org/name", {"a.bin": BIG})
    next(repo.blobs.iterdir()).unlink()
    (caches.hub / "stray").touch()
    err = run("cache", "ls").err
    assert "1 link lead" in err
    assert "stray" in err


def test_removing_needs_a_yes_where_nobody_can_be_asked(caches, run):
    caches.place("org/name", {"a.bin": BIG})
    before = caches.names("org/name")
    stage = run("cache", "rm", "org/name", code=2)
    assert "--yes" in stage.err
    assert caches.names("org/name") == before
    dry = check("rm", run("cache", "rm", "org/name", "--dry-run", "--json").json)
    assert (dry["freed_bytes"], dry["dry_run"]) == (5000, True)
    assert caches.names("org/name") == before
    done = check("rm", run("cache", "rm", "org/name", "--yes", "--json").json)
    assert done["freed_bytes"] == 5000
    assert done["removals"][0]["whole"] is True
    assert not caches.repo("org/name").path.exists()
    check("rm", run("cache", "rm", "org/name", "--yes", "--json", code=3).json)


def test_what_somebody_is_at_may_go_later(caches, run):
    caches.place("org/name", {"a.bin": BIG})
    caches.begin("org/name", OTHER, 100, owner=living())
    answer = check("rm", run("cache", "rm", "org/name", "--yes", "--json", code=4).json)
    assert "a fetch is under way" in answer["skipped"][0]


def lock(tmp_path, *commits):
    path = tmp_path / "project" / "chunkdl.lock"
    path.parent.mkdir()
    artifacts = tuple(
        LockedArtifact(
            "org/name", Reference("org/name", "org/name"), "org/name", each, "hub", True, 0.0, LockedSelection(), ()
        )
        for each in commits
    )
    path.write_text(encode_lock(Lock(artifacts)))
    remember_lock(tmp_path / "state", path)
    return path


def test_prune_keeps_what_a_known_lock_file_names(caches, run, tmp_path):
    caches.place("org/name", {"a.bin": BIG}, 1, ref=None)
    caches.place("org/name", {"b.bin": OTHER}, 2, ref=None)
    path = lock(tmp_path, commit(1))
    answer = check("rm", run("cache", "prune", "--yes", "--json").json)
    assert [each["revisions"] for each in answer["removals"]] == [[commit(2)]]
    assert str(path) in answer["kept"][0]
    path.unlink()
    answer = run("cache", "prune", "--yes", "--json").json
    assert [each["revisions"] for each in answer["removals"]] == [[commit(1)]]


def test_a_lock_file_that_cannot_be_read_stops_the_prune(caches, run, tmp_path):
    caches.place("org/name", {"a.bin": BIG}, 1, ref=None)
    lock(tmp_path, commit(1)).write_text("edited")
    before = caches.names("org/name")
    check("rm", run("cache", "prune", "--yes", "--json", code=2).json)
    assert caches.names("org/name") == before


def test_a_dry_prune_says_why(caches, run):
    caches.place("org/name", {"a.bin": BIG}, 1, ref=None)
    stage = run("cache", "prune", "--dry-run")
    assert f"org/name@{commit(1)}" in stage.out
    assert "no ref names it" in stage.out
    assert "4.88 KiB" in stage.err
    assert "nothing to remove" in run("cache", "prune", "--keep-last", "1").err


@pytest.mark.parametrize("option", [("--older-than", "soon"), ("--max-size", "big"), ("--keep-last", "-1")])
def test_options_that_mean_nothing(run, option):
    run("cache", "prune", *option, code=2)


def test_verify_finds_and_exits_with_five(caches, run):
    repo = caches.place("org/name", {"a.bin": BIG})
    assert check("verify", run("verify", "--json").json)["counts"] == {"ok": 1}
    next(repo.blobs.iterdir()).write_bytes(b"x" * 5000)
    stage = run("verify", code=5)
    assert stage.out.startswith("damaged: org/name@000000000000: a.bin")
    assert "chunkdl verify org/name --repair" in stage.err
    answer = check("verify", run("cache", "verify", "org/name", "--json", code=5).json)
    assert answer["findings"][0]["state"] == "damaged"
    check("verify", run("verify", "org/none", "--json", code=3).json)


def test_damage_below_a_folder_that_names_no_commit_is_no_silence(caches, tmp_path):
    repo = caches.place("org/name", {"a.bin": BIG})
    repo.snapshot(commit(1)).rename(repo.snapshots / "main")
    next(repo.blobs.iterdir()).write_bytes(b"x" * 5000)
    stage = Stage(tmp_path, silence, environ={"TORCH_HOME": str(tmp_path / "torch")})
    assert stage.run("verify", "--repair") == 5
    assert "a.bin: its folder names no commit" in stage.err
    assert "chunkdl fetch org/name" in stage.err


def test_what_an_owner_edited_is_told_with_the_way_back(tmp_path, run):
    folder = LocalFolder(tmp_path / "my model")
    folder.downloads.mkdir(parents=True)
    record = FileRecord(commit(1), hashlib.sha256(BIG).hexdigest(), 1e9)
    write_record(folder.metadata("a.bin"), record, stage_in=folder.downloads)
    folder.file("a.bin").write_bytes(OTHER)
    stage = run("verify", str(folder.root))
    assert stage.out.startswith("edited: ")
    assert f"chunkdl fetch REF --local-dir '{folder.root}'" in stage.err


def test_both_names_of_verify_are_one_command(run):
    assert cache.commands["verify"] is verify
    run("verify", "--help")
    run("cache", "--help")


def test_prune_keeps_what_a_batch_job_names_and_what_was_begun_for_it(caches, run, tmp_path):
    caches.place("org/name", {"a.bin": BIG}, 1, ref=None)
    caches.begin("org/name", OTHER, 100, age_s=99 * 86_400)
    (tmp_path / "state").mkdir()
    with Queue(tmp_path / "state" / QUEUE_FILE) as queue:
        job = queue.add(Wish(Task(f"org/name@{commit(1)}")), 0.0).job
    answer = run("cache", "prune", "--older-than", "0d", "--yes", "--json").json
    assert answer["removals"] == []
    assert job.id in answer["kept"][0]
    with Queue(tmp_path / "state" / QUEUE_FILE) as queue:
        queue.cancel(job.id, 1.0)
    assert run("cache", "prune", "--older-than", "0d", "--yes", "--json").json["removals"][0]["whole"]


async def silence(references, observer):
    return good_report(*(placed_result(each) for each in references))


def test_a_damaged_checkpoint_of_torchvision_is_asked_for_where_it_is_published(caches, tmp_path):
    caches.checkpoint("resnet50", OTHER, prefix="11ad3fa6")
    stage = Stage(tmp_path, silence, environ={"TORCH_HOME": str(tmp_path / "torch")})
    assert stage.run("verify", "--repair") == 5  # this pipeline brings nothing
    assert stage.asked[0] == ("https://download.pytorch.org/models/resnet50-11ad3fa6.pth",)
    assert (caches.torch / "resnet50-11ad3fa6.pth").read_bytes() == OTHER


def test_a_damaged_checkpoint_of_nobody_known_is_said_and_stays(caches, tmp_path):
    path = caches.checkpoint("mine", OTHER, prefix="00000000")
    stage = Stage(tmp_path, silence, environ={"TORCH_HOME": str(tmp_path / "torch")})
    assert stage.run("verify", "--repair") == 5
    assert "nothing says where it came from" in stage.err
    assert path.read_bytes() == OTHER


def refused(*_):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_what_cannot_be_read_is_said_with_its_own_exit_code(caches, run, monkeypatch):
    caches.place("org/name", {"a.bin": BIG})
    with monkeypatch.context() as patched:
        patched.setattr(proving, "_traceless", refused)
        answer = check("verify", run("verify", "--json", code=6).json)
    assert answer["counts"] == {"unreadable": 1}
    monkeypatch.setattr(Path, "iterdir", refused)
    stage = run("cache", "ls", code=6)
    assert "not allowed to use" in stage.err
    run("cache", "prune", "--yes", code=6)
