import os
import time

import pytest
from filelock import FileLock

from chunkdl.caches.pruning import Policy, prune
from chunkdl.caches.removal import freed_bytes
from chunkdl.caches.removing import Remover
from chunkdl.caches.shared_store import payload_of, sweep, unused_payloads
from chunkdl.caches.targets import removal_of
from chunkdl.disk import new_name
from chunkdl.errors import ArtifactNotFound, StoreError, UsageError
from chunkdl.model import RepoType
from tests.support.cache_rules import broken_rules
from tests.support.caches import Caches, commit, dead, living

BIG = b"w" * 5000
OTHER = b"o" * 3000


@pytest.fixture
def caches(tmp_path):
    return Caches(tmp_path)


def remove(caches, *targets, before=lambda: None):
    seen = caches.seen()
    removal = removal_of(seen, targets)
    before()
    return Remover(seen, time.time).remove(removal), freed_bytes(seen, removal)


def test_a_repository_goes_whole(caches):
    caches.place("org/name", {"a.bin": BIG, "sub/b.bin": OTHER})
    caches.begin("org/name", BIG * 2, 4096, owner=dead())
    kept = caches.place("org/kept", {"a.bin": BIG})
    outcome, expected = remove(caches, "org/name")
    assert not caches.repo("org/name").path.exists()
    assert outcome.freed_bytes == expected >= 8000
    assert outcome.skipped == outcome.left == []
    assert kept.path.exists()
    assert broken_rules(caches.hub) == []


def test_a_blob_that_another_revision_shows_stays(caches):
    repo = caches.place("org/name", {"a.bin": BIG, "old.bin": OTHER}, 1, ref="v1")
    caches.place("org/name", {"a.bin": BIG}, 2)
    outcome, expected = remove(caches, "org/name@v1")
    assert outcome.freed_bytes == expected == 3000
    assert caches.names("org/name") == [
        f"blobs/{next(repo.blobs.iterdir()).name}",
        "refs/main",
        f"snapshots/{commit(2)}/a.bin",
    ]
    assert broken_rules(caches.hub) == []


def test_a_blob_with_a_second_name_elsewhere_frees_nothing(caches):
    one, two = caches.place("org/one", {"a.bin": BIG}), caches.place("org/two", {"a.bin": BIG})
    blob = next(one.blobs.iterdir())
    (two.blobs / blob.name).unlink()
    os.link(blob, two.blobs / blob.name)
    outcome, expected = remove(caches, "org/one")
    assert outcome.freed_bytes == expected == 0
    assert (two.snapshot(commit(1)) / "a.bin").read_bytes() == BIG


def test_real_files_go_with_their_revision(caches):
    caches.place("org/name", {"a.bin": BIG}, use_symlinks=False)
    outcome, expected = remove(caches, "org/name")
    assert outcome.freed_bytes == expected == 5000
    assert not caches.repo("org/name").path.exists()


def test_what_is_somebodys_own_stays_and_is_said(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    (repo.blobs / "notes.txt").write_text("mine")
    (repo.blobs / f"{'a' * 64}.12345678.incomplete").write_bytes(OTHER)
    outcome, _ = remove(caches, "org/name")
    assert (repo.blobs / "notes.txt").read_text() == "mine"
    assert len(outcome.left) == 2
    assert caches.names("org/name") == [f"blobs/{'a' * 64}.12345678.incomplete", "blobs/notes.txt"]
    assert repo.snapshots.is_dir()


def test_a_living_owner_is_respected(caches):
    caches.place("org/name", {"a.bin": BIG})
    part = caches.begin("org/name", OTHER, 2000, owner=living())
    before = caches.names("org/name")
    outcome, _ = remove(caches, "org/name")
    assert "a fetch is under way" in outcome.skipped[0]
    assert caches.names("org/name") == before
    outcome, _ = remove(caches, f"partial:{part.name[:12]}")
    assert "is at it" in outcome.skipped[0]
    assert part.exists()


def test_nothing_of_a_first_fetch_that_runs_is_removed(caches):
    """No revision is shown yet; finished contents and what is about to be renamed are the running process's."""
    caches.begin("org/name", OTHER, 2000, owner=living())
    repo = caches.repo("org/name")
    (repo.blobs / ("a" * 64)).write_bytes(BIG)
    new_name(repo.blobs / ("b" * 40)).write_bytes(b"small")
    before = caches.names("org/name")
    outcome, _ = remove(caches, "org/name")
    assert "a fetch is under way" in outcome.skipped[0]
    assert caches.names("org/name") == before


def test_contents_that_a_fetch_took_up_while_we_asked_stay(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    (repo.blobs / ("a" * 64)).write_bytes(OTHER)
    seen = caches.seen()
    removal = prune(seen, Policy(older_than_s=0.0), (), time.time() + 1).removal
    assert [each.path.name for each in removal.repos[0].blobs] == ["a" * 64]
    caches.begin("org/name", OTHER * 2, 2000, owner=living())
    outcome = Remover(seen, time.time).remove(removal)
    assert "a fetch is under way" in outcome.skipped[0]
    assert (repo.blobs / ("a" * 64)).exists()


def test_a_repository_without_snapshots_leaves_no_folder(caches):
    repo = caches.repo("org/name")
    repo.blobs.mkdir(parents=True)
    (repo.blobs / ("a" * 64)).write_bytes(OTHER)
    remove(caches, "org/name")
    assert not repo.path.exists()


def test_a_dead_owners_transfer_goes_with_all_its_files(caches):
    part = caches.begin("org/name", BIG, 2000, owner=dead())
    outcome, _ = remove(caches, f"partial:{part.name[:12]}")
    assert outcome.removed == [f"partial:{part.name[:12]}"]
    assert caches.names("org/name") == []


def test_a_content_that_another_program_has_locked_stays(caches):
    repo = caches.place("org/name", {"a.bin": BIG, "b.bin": OTHER})
    blob = next(each for each in repo.blobs.iterdir() if each.stat().st_size == 5000)
    lock = caches.hub / ".locks" / repo.name / f"{blob.name}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        outcome, _ = remove(caches, "org/name")
    assert blob.exists()
    assert "locked" in outcome.skipped[0]
    assert repo.snapshots.is_dir()


def test_a_blob_that_was_shown_after_the_decision_stays(caches):
    repo = caches.place("org/name", {"a.bin": BIG}, 1)

    def shown_meanwhile():
        caches.place("org/name", {"other.bin": BIG}, 2, ref="new")

    remove(caches, "org/name@main", before=shown_meanwhile)
    assert (repo.snapshot(commit(2)) / "other.bin").read_bytes() == BIG
    assert broken_rules(caches.hub) == []


def test_a_checkpoint_goes_alone(caches):
    path, other = caches.checkpoint("net", BIG), caches.checkpoint("net", OTHER)
    outcome, _ = remove(caches, f"torch:{path.name}")
    assert (path.exists(), other.exists(), outcome.freed_bytes) == (False, True, 5000)


def test_a_refusal_of_the_disk_is_an_error_and_nothing_is_half_gone(caches, monkeypatch):
    repo = caches.place("org/name", {"a.bin": BIG})
    before = caches.names("org/name")
    monkeypatch.setattr(os, "access", lambda path, mode: path != repo.blobs)
    with pytest.raises(StoreError) as refused:
        remove(caches, "org/name")
    assert refused.value.exit_code == 6
    assert caches.names("org/name") == before


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("org/none", ArtifactNotFound),
        ("org/name@v9", ArtifactNotFound),
        ("org/name@00", ArtifactNotFound),
        ("org/name@0000000", UsageError),
        ("torch:none.pth", ArtifactNotFound),
        ("partial:", ArtifactNotFound),
    ],
)
def test_names_that_mean_nothing_or_too_much(caches, target, kind):
    caches.place("org/name", {"a.bin": BIG}, 1, ref="v1")
    caches.place("org/name", {"a.bin": BIG}, 2)
    with pytest.raises(kind):
        remove(caches, target)


def test_a_dataset_and_a_model_of_one_name_are_two(caches):
    caches.place("org/name", {"a.bin": BIG})
    caches.place("org/name", {"a.bin": BIG}, repo_type=RepoType.DATASET)
    remove(caches, "datasets/org/name")
    assert [each.id for each in caches.seen().repos] == ["org/name"]


class Store:
    """The hub's store with one payload, and repositories whose blobs are links into it."""

    def __init__(self, caches, users):
        self.payload = caches.hub / "blobs" / "ab" / ("ab" + "0" * 62)
        self.payload.parent.mkdir(parents=True)
        (caches.hub / "blobs" / ".huggingface-shared-blobs").write_bytes(b"1\n")
        self.payload.write_bytes(BIG)
        self.payload.chmod(0o444)
        lines = []
        for name in users:
            repo = caches.place(name, {"a.bin": BIG})
            blob = next(repo.blobs.iterdir())
            blob.unlink()
            blob.symlink_to(os.path.relpath(self.payload, blob.parent))
            lines.append(f"{repo.name}/blobs/{blob.name}\n")
            self.blob = blob
        self.refs = self.payload.with_name(f"{self.payload.name}.refs")
        self.refs.write_text("".join(lines))


def test_a_shared_payload_goes_with_its_last_user(caches):
    store = Store(caches, ["org/one", "org/two"])
    remove(caches, "org/one")
    assert store.payload.exists()
    outcome, _ = remove(caches, "org/two")
    assert not store.payload.exists()
    assert not store.refs.exists()
    assert outcome.freed_bytes == 5000


def test_a_payload_whose_users_cannot_be_read_stays(caches):
    store = Store(caches, ["org/one"])
    store.refs.unlink()
    remove(caches, "org/one")
    assert store.payload.exists()
    assert unused_payloads(caches.hub) == ()


def test_a_payload_that_nobody_links_to_is_found_and_swept(caches):
    store = Store(caches, ["org/one"])
    assert payload_of(store.blob, caches.hub) == store.payload
    assert sweep(store.payload, caches.hub) == 0
    store.blob.unlink()
    assert [each.path for each in unused_payloads(caches.hub)] == [store.payload]
    assert sweep(store.payload, caches.hub) == 5000


def test_a_broken_repository_can_be_removed(caches):
    repo = caches.place("org/name", {"a.bin": BIG, "b.bin": OTHER})
    next(repo.blobs.iterdir()).unlink()
    repo.ref("gone").write_text(commit(9))
    (repo.blobs / ("a" * 64)).symlink_to("../../blobs/ab/gone")
    remove(caches, "org/name")
    assert not repo.path.exists()


def test_what_a_desktop_program_left_keeps_a_folder_that_the_scanner_likes(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    (repo.path / ".DS_Store").touch()
    remove(caches, "org/name")
    assert caches.names("org/name") == [".DS_Store"]
    assert repo.snapshots.is_dir()


def test_a_repository_that_lies_elsewhere_keeps_the_link_to_its_place(caches, tmp_path):
    repo = caches.place("org/name", {"a.bin": BIG})
    repo.path.rename(tmp_path / "disk")
    repo.path.symlink_to(tmp_path / "disk")
    outcome, expected = remove(caches, "org/name")
    assert outcome.freed_bytes == expected == 5000
    assert repo.snapshots.is_dir()
    assert caches.names("org/name") == []
