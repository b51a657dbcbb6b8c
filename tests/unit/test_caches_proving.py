import os
import threading

import pytest

from chunkdl.assemble.digests import hash_file
from chunkdl.assemble.local_folder import LocalFolder
from chunkdl.assemble.local_record import FileRecord, write_record
from chunkdl.caches import repairing
from chunkdl.caches.proving import Proving, State
from chunkdl.caches.repairing import mendings, prepare, set_aside, unshown
from chunkdl.caches.subjects import Subjects
from chunkdl.errors import ArtifactNotFound
from chunkdl.model import Digest, DigestAlgorithm
from chunkdl.process_identity import Life, life_of_stamped
from chunkdl.transfer.receipts import Receipts
from tests.support.cache_world import lfs
from tests.support.caches import Caches, age, commit

BIG = bytes(range(256)) * 4096 * 5  # over the size from which receipts are kept
OTHER = b"o" * 3000


@pytest.fixture
def caches(tmp_path):
    return Caches(tmp_path)


def judge(caches, *words, receipts=None, **more):
    proving = Proving(Subjects(caches.seen(), **more).claims(words), receipts, threading.Event())
    proving.work()
    return proving


def states(caches, *words, **more):
    return {each.claim.name: each.state for each in judge(caches, *words, **more).judged}


def flip(path, at=1000):
    """One bit, as a disk would: no time tells."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def blob_of(repo, data):
    return next(each for each in repo.blobs.iterdir() if each.stat().st_size == len(data))


def test_everything_right_is_said_to_be(caches):
    caches.place("org/name", {"a.bin": BIG, "small.txt": b"text"})
    caches.checkpoint("net", OTHER)
    assert set(states(caches).values()) == {State.OK}


def test_a_flipped_bit_is_found_in_every_kind_of_content(caches):
    repo = caches.place("org/name", {"a.bin": BIG, "small.txt": b"text"})
    flip(blob_of(repo, BIG))
    flip(blob_of(repo, b"text"), 1)
    path = caches.checkpoint("net", OTHER)
    flip(path)
    assert states(caches) == {
        "org/name@000000000000: a.bin": State.DAMAGED,
        "org/name@000000000000: small.txt": State.DAMAGED,
        f"torch:{path.name}": State.DAMAGED,
    }


def test_a_truncated_content_whose_size_is_known_is_not_read(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    os.truncate(blob_of(repo, BIG), 10)
    assert list(states(caches).values()) == [State.DAMAGED]
    listed = lfs("a.bin", BIG)
    assert list(states(caches, listings=lambda *_: (listed,)).values()) == [State.TRUNCATED]


def test_a_link_to_nothing_is_missing_and_one_to_another_content_is_mislinked(caches):
    repo = caches.place("org/name", {"a.bin": BIG, "b.bin": OTHER})
    entry = repo.snapshot(commit(1)) / "b.bin"
    entry.unlink()
    entry.symlink_to(os.path.relpath(blob_of(repo, BIG), entry.parent))
    listing = (lfs("a.bin", BIG), lfs("b.bin", OTHER))
    found = states(caches, "org/name@main", listings=lambda *_: listing)
    assert found == {"org/name@000000000000: a.bin": State.OK, "org/name@000000000000: b.bin": State.MISLINKED}
    blob_of(repo, BIG).unlink()
    assert set(states(caches, "org/name@main").values()) == {State.MISSING}


def test_real_files_are_proven_by_a_listing_and_unproven_without(caches):
    repo = caches.place("org/name", {"a.bin": BIG}, use_symlinks=False)
    assert list(states(caches).values()) == [State.UNPROVEN]
    listings = {"listings": lambda *_: (lfs("a.bin", BIG),)}
    assert list(states(caches, **listings).values()) == [State.OK]
    flip(repo.snapshot(commit(1)) / "a.bin")
    assert list(states(caches, **listings).values()) == [State.DAMAGED]


def test_contents_that_nothing_shows_are_read_too(caches):
    repo = caches.place("org/name", {"a.bin": OTHER})
    (repo.blobs / ("a" * 64)).write_bytes(b"not that")
    judged = judge(caches).judged
    assert {each.state for each in judged} == {State.OK, State.DAMAGED}
    (damaged,) = unshown(each for each in judged if each.state is State.DAMAGED)
    aside = set_aside(damaged)
    assert aside.read_bytes() == b"not that"
    assert set(states(caches).values()) == {State.OK}
    assert caches.seen().repos[0].strange == ()


def test_one_content_under_many_names_is_read_once(caches):
    one, two = caches.place("org/one", {"a.bin": BIG}, 1), caches.place("org/two", {"b.bin": BIG}, 2)
    caches.place("org/one", {"c.bin": BIG}, 3, ref="other")
    blob_of(two, BIG).unlink()
    os.link(blob_of(one, BIG), two.blobs / blob_of(one, BIG).name)
    proving = judge(caches)
    assert proving.done_bytes == len(BIG)
    assert [each.state for each in proving.judged] == [State.OK] * 2


def test_what_was_learnt_of_a_checkpoint_beats_its_name(caches):
    path = caches.checkpoint("net", OTHER, prefix="12345678")
    assert list(states(caches).values()) == [State.DAMAGED]
    digest = lfs("x", OTHER).digest
    assert list(states(caches, learnt=lambda _: digest).values()) == [State.OK]
    assert list(states(caches, str(path), learnt=lambda _: digest).values()) == [State.OK]


def test_reading_does_not_count_as_use(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    blob = blob_of(repo, BIG)
    age(blob, 90 * 86400)
    before = blob.stat().st_atime_ns
    judge(caches)
    assert blob.stat().st_atime_ns == before


def test_a_stop_ends_it_at_the_next_megabyte(caches):
    caches.place("org/name", {"a.bin": BIG})

    class Counting:
        def __init__(self):
            self.asked = 0

        def is_set(self):
            self.asked += 1
            return self.asked > 2

    proving = Proving(Subjects(caches.seen()).claims(()), None, Counting())
    proving.work()
    assert proving.judged == []
    assert proving.done_bytes <= 1 << 20


def local(tmp_path, files):
    folder = LocalFolder(tmp_path / "model")
    folder.downloads.mkdir(parents=True)
    for path, data in files.items():
        folder.file(path).write_bytes(data)
        record = FileRecord(commit(1), lfs(path, data).digest.hex, folder.file(path).stat().st_mtime)
        write_record(folder.metadata(path), record, stage_in=folder.downloads)
    return folder


def test_a_local_folder_is_proven_by_its_records(tmp_path, caches):
    folder = local(tmp_path, {"a.bin": BIG, "b.bin": OTHER, "c.bin": OTHER, "d.bin": OTHER})
    flip(folder.file("a.bin"))
    folder.file("b.bin").unlink()
    os.utime(folder.file("c.bin"), (2e9, 2e9))
    folder.file("d.bin").write_bytes(b"edited")
    os.utime(folder.file("d.bin"), (2e9, 2e9))
    found = {each.claim.paths[0]: each.state for each in judge(caches, str(folder.root)).judged}
    assert found == {"a.bin": State.DAMAGED, "b.bin": State.MISSING, "c.bin": State.OK, "d.bin": State.EDITED}


def test_words_and_paths_name_the_same(caches, monkeypatch):
    repo = caches.place("org/name", {"a.bin": BIG, "sub/b.bin": OTHER})
    snapshot = repo.snapshot(commit(1))
    assert states(caches, "org/name") == states(caches, str(snapshot)) == states(caches, str(repo.path))
    assert list(states(caches, str(snapshot / "sub"))) == ["org/name@000000000000: sub/b.bin"]
    assert list(states(caches, str(snapshot / "a.bin"))) == ["org/name@000000000000: a.bin"]
    assert states(caches, str(caches.hub)) == states(caches)
    monkeypatch.chdir(caches.hub)
    assert states(caches, repo.name) == states(caches, "org/name")


@pytest.mark.parametrize("word", ["org/none", "org/name@v9", "torch:none.pth", "./nothing", "/"])
def test_what_is_not_there_is_said(caches, word):
    caches.place("org/name", {"a.bin": BIG})
    with pytest.raises(ArtifactNotFound):
        judge(caches, word)


def test_a_proof_leaves_a_receipt_and_a_damage_a_part_of_what_may_be_right(tmp_path, caches):
    receipts = Receipts(tmp_path / "state")
    repo = caches.place("org/name", {"a[1].bin": BIG})
    judge(caches, receipts=receipts)
    flip(blob_of(repo, BIG))
    (damaged,) = judge(caches).judged
    (mending,) = mendings([damaged])
    assert mending.reference == f"org/name@{commit(1)}"
    assert mending.patterns == ("a[[]1].bin",)
    digest = Digest(DigestAlgorithm.SHA256, blob_of(repo, BIG).name)
    assert prepare(repo, damaged, receipts)
    (partial,) = caches.seen().partials
    assert (partial.held_bytes, partial.total_bytes, partial.owner) == (len(BIG), len(BIG), "")
    assert repo.part(digest).read_bytes() == repo.blob(digest).read_bytes()
    assert hash_file(repo.part(digest), digest, len(BIG)) is None


def test_the_copy_that_a_part_begins_as_says_whose_it_is(tmp_path, caches, monkeypatch):
    """So that what a killed repair leaves is known from what a living one is at."""
    receipts, seen = Receipts(tmp_path / "state"), []
    repo = caches.place("org/name", {"a.bin": BIG})
    judge(caches, receipts=receipts)
    flip(blob_of(repo, BIG))
    (damaged,) = judge(caches).judged
    monkeypatch.setattr(repairing, "clone_or_copy", lambda *_: seen.extend(repo.blobs.glob("*.chunkdl-new")))
    prepare(repo, damaged, receipts)
    assert [life_of_stamped(each.name.removesuffix(".chunkdl-new").rpartition(".")[2]) for each in seen] == [Life.ALIVE]


def test_without_a_receipt_no_part_is_prepared(tmp_path, caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    flip(blob_of(repo, BIG))
    (damaged,) = judge(caches).judged
    assert not prepare(repo, damaged, Receipts(tmp_path / "state"))
    assert caches.seen().partials == ()
