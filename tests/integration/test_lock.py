"""Lock files from making to fetching, as commands, against mirrors on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "fixtures" / "report.schema.json").read_text()))
WEIGHTS = SeededContent(7, 6 << 20)
FILES = {"config.json": "{}", "model.safetensors": WEIGHTS, "pytorch_model.bin": SeededContent(8, 1 << 20)}
REPO = HubRepo("org/name", FILES)
LATER = HubRepo("org/name", {**FILES, "config.json": '{"a": 1}', "new.json": "[]"}, older=())
DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.fixture
def command(tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "CHUNKDL_", "XDG_"))}

    def run(*argv, **environ):
        done = subprocess.run(
            [sys.executable, "-m", "chunkdl", *argv],
            cwd=tmp_path,
            env={**kept, "HOME": str(tmp_path), **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def locked(command, tmp_path):
    """A lock of REPO, made while its origin answered."""
    with MirrorServer([REPO]).in_thread() as origin:
        code, out, err = command("lock", "org/name", "--origin", origin.url, "--no-mirrors")
    assert (code, out) == (0, "chunkdl.lock\n"), err
    return tmp_path / "chunkdl.lock"


def test_a_lock_is_fetched_byte_for_byte_from_a_mirror_with_the_origin_unreachable(command, locked, tmp_path):
    with MirrorServer([REPO]).in_thread() as mirror:
        sources = ("--origin", DEAD, "--mirror", mirror.url)
        code, out, err = command("fetch", "--locked", locked.name, "--json", *sources)
    report = json.loads(out)
    SCHEMA.validate(report)
    assert code == 0, err
    (result,) = report["results"]
    assert (result["commit"], result["authority"], result["authenticated"]) == (REPO.commit, "lock", True)
    assert {each["path"] for each in result["files"]} == {"config.json", "model.safetensors"}
    assert {each["verified"] for each in result["files"]} == {"digest"}
    folder = tmp_path / ".cache/huggingface/hub/models--org--name"
    assert WEIGHTS.first_difference((Path(result["path"]) / "model.safetensors").read_bytes()) is None
    assert (folder / "refs/main").read_text() == REPO.commit
    assert not (folder / "trees").exists()  # a lock does not list what was left out
    code, out, err = command("fetch", "--locked", locked.name, "-q", HF_HUB_OFFLINE="1")
    assert (code, out.strip()) == (0, result["path"]), err


def test_a_mirror_whose_branch_moved_on_serves_only_what_is_the_same(command, locked):
    with (
        MirrorServer([REPO], rate_bytes_per_s=2 << 20).in_thread() as origin,
        MirrorServer([LATER]).in_thread() as mirror,
    ):
        sources = ("--origin", origin.url, "--mirror", mirror.url)
        code, out, err = command("fetch", "--locked", locked.name, "--json", *sources)
    assert code == 0, err
    report = json.loads(out)
    folder = Path(report["results"][0]["path"])
    assert (folder / "config.json").read_text() == "{}"
    assert WEIGHTS.first_difference((folder / "model.safetensors").read_bytes()) is None
    assert mirror.bytes_served > 0
    assert any(each["lag"] for each in report["hosts"])


def test_locking_again_changes_no_byte_and_another_reference_is_added(command, locked):
    first = locked.read_bytes()
    other = HubRepo("org/other", {"config.json": "[]"})
    with MirrorServer([REPO, other]).in_thread() as origin:
        sources = ("--origin", origin.url, "--no-mirrors")
        code, _, err = command("lock", "org/other", *sources)
        assert code == 0, err
        both = locked.read_text()
        assert first.partition(b"[[artifact]]")[2].partition(b"[seal]")[0].decode() in both
        assert both.count("[[artifact]]") == 2
        command("lock", "org/other", *sources)
        assert locked.read_text() == both


def test_check_tells_drift_by_path_and_follows_nothing(command, locked):
    before = locked.read_bytes()
    with MirrorServer([REPO]).in_thread() as origin:
        code, out, err = command("lock", "--check", "--origin", origin.url, "--no-mirrors")
    assert (code, out) == (0, "org/name: as locked\n"), err
    with MirrorServer([LATER]).in_thread() as origin:
        sources = ("--origin", origin.url, "--no-mirrors")
        code, out, err = command("lock", "--check", *sources)
        _, report, _ = command("lock", "--check", "--json", *sources)
    moved = f"org/name: drifted (commit {REPO.commit} -> {LATER.commit})"
    assert (code, out.splitlines()) == (7, [moved, "  changed config.json", "  added new.json"]), err
    assert json.loads(report)["artifacts"][0]["drift"] == {
        "changed": ["config.json"],
        "added": ["new.json"],
        "removed": [],
    }
    assert locked.read_bytes() == before


def test_a_commit_that_moved_over_the_same_files_is_no_drift(command, locked):
    same = HubRepo("org/name", FILES, commit="ab" * 20)
    with MirrorServer([same]).in_thread() as origin:
        code, out, _ = command("lock", "--check", "--origin", origin.url, "--no-mirrors")
    assert (code, out) == (0, f"org/name: as locked (commit {REPO.commit} -> {same.commit})\n")


def test_what_cannot_be_asked_about_is_no_drift(command, locked):
    code, out, _ = command("lock", "--check", "--origin", DEAD, "--no-mirrors", "--trust", "strict")
    assert code == 4
    assert out.startswith("org/name: not known: ")


def test_another_revision_than_the_locked_one_is_refused(command, locked):
    code, _, err = command("fetch", "org/name@v2", "--locked", locked.name, "--origin", DEAD, "--no-mirrors")
    assert code == 7
    assert f"fixes the default revision at {REPO.commit}, not v2" in err


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (("org/else",), "org/else is not in chunkdl.lock, which has org/name"),
        (("--include", "*.json"), "says which files"),
        (("--format", "all"), "says which files"),
    ],
)
def test_what_a_lock_does_not_say_is_a_mistake(command, locked, argv, what):
    code, _, err = command("fetch", *argv, "--locked", locked.name, "--origin", DEAD, "--no-mirrors")
    assert code == 2
    assert what in err


@pytest.mark.parametrize("spoil", [lambda text: text[:-80], lambda text: text.replace("size = 2", "size = 3")])
def test_a_cut_or_edited_lock_is_noticed_and_nothing_is_fetched(command, locked, tmp_path, spoil):
    locked.write_text(spoil(locked.read_text()))
    code, out, err = command("fetch", "--locked", locked.name, "--json", "--origin", DEAD, "--no-mirrors")
    assert code == 2
    assert json.loads(out)["results"][0]["error"]["code"] == "usage"
    assert "restore it from version control" in err
    assert not (tmp_path / ".cache").exists()


def test_digests_are_exported_for_sha256sum(command, locked):
    with MirrorServer([REPO]).in_thread() as mirror:
        _, folder, _ = command("fetch", "--locked", locked.name, "-q", "--origin", DEAD, "--mirror", mirror.url)
    code, sums, err = command("lock", "--export", "sha256sum")
    assert code == 0
    assert "1 file left out" in err
    subprocess.run(["sha256sum", "-c", "-"], cwd=folder.strip(), input=sums, text=True, check=True, timeout=60)


@pytest.mark.parametrize(
    ("ref", "code", "what"),
    [("org/nope", 3, "org/nope"), ("torch:resnet5", 3, "no model 'resnet5'"), ("a/b/c/d", 2, "no repository id")],
)
def test_what_cannot_be_locked_is_one_line_and_leaves_no_file(command, tmp_path, ref, code, what):
    with MirrorServer([REPO]).in_thread() as origin:
        found, out, err = command("lock", ref, "--origin", origin.url, "--no-mirrors")
    assert (found, out) == (code, "")
    assert what in err.splitlines()[0]
    assert err.startswith("error: ")
    assert not (tmp_path / "chunkdl.lock").exists()


def test_the_state_folder_knows_the_lock(command, locked, tmp_path):
    (known,) = tmp_path.glob(".local/state/chunkdl/locks.json")
    assert json.loads(known.read_text()) == [str(locked)]
