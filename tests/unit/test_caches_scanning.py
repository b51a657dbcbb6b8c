import json
import os

import pytest

from chunkdl.caches.seen import total_bytes
from chunkdl.model import RepoType
from tests.support.caches import Caches, commit, dead, living, stranger

BIG = b"w" * 5000
OTHER = b"o" * 3000


@pytest.fixture
def caches(tmp_path):
    return Caches(tmp_path)


def test_a_content_counts_once_however_often_it_is_linked(caches):
    caches.place("org/name", {"a.bin": BIG, "copy.bin": BIG}, 1, ref="v1")
    caches.place("org/name", {"a.bin": BIG, "new.bin": OTHER}, 2)
    (repo,) = caches.seen().repos
    assert repo.size == 8000
    assert [(each.commit, each.refs) for each in repo.revisions] == [(commit(1), ("v1",)), (commit(2), ("main",))]
    assert total_bytes(repo.revisions[1].contents) == 8000
    assert repo.broken == repo.dangling_refs == repo.strange == ()


def test_hard_links_between_repositories_count_once(caches):
    one = caches.place("org/one", {"a.bin": BIG})
    two = caches.place("org/two", {"a.bin": BIG})
    blob = next(each for each in one.blobs.iterdir())
    (two.blobs / blob.name).unlink()
    os.link(blob, two.blobs / blob.name)
    seen = caches.seen()
    assert [each.size for each in seen.repos] == [5000, 5000]
    assert seen.size == 5000


def test_real_files_of_a_cache_without_links_are_its_contents(caches):
    caches.place("org/name", {"a.bin": BIG, "sub/b.bin": OTHER}, use_symlinks=False)
    (repo,) = caches.seen().repos
    assert repo.size == 8000
    assert repo.blobs == ()
    assert [each.blob for each in repo.revisions[0].entries] == [None, None]
    assert repo.revisions[0].own_files == ()


def test_a_file_of_somebodys_own_among_links_is_told(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    (repo.snapshot(commit(1)) / "notes.txt").write_text("mine")
    (found,) = caches.seen().repos
    assert found.revisions[0].own_files == ("notes.txt",)


def test_ids_are_what_fetch_takes(caches):
    caches.place("bert", {"a.bin": BIG})
    caches.place("org/corpus", {"a.bin": BIG}, repo_type=RepoType.DATASET)
    assert {each.id for each in caches.seen().repos} == {"bert", "datasets/org/corpus"}


@pytest.mark.parametrize(
    ("owner", "life"), [(None, ""), (living(), "alive"), (dead(), "dead"), (stranger(), "unknown")]
)
def test_a_transfer_says_how_much_it_holds_and_who_is_at_it(caches, owner, life):
    part = caches.begin("org/name", BIG, 2000, owner=owner)
    (partial,) = caches.seen().partials
    assert (partial.held_bytes, partial.total_bytes, partial.owner) == (2000, 5000, life)
    assert partial.id == f"partial:{part.name[:12]}"
    assert partial.place == "org/name"
    assert partial.size > 0


def test_what_is_nobodys_is_called_strange_and_another_programs_partials_are_told(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    (repo.blobs / "notes.txt").write_text("mine")
    (repo.path / "extra").mkdir()
    (repo.blobs / f"{'a' * 64}.12345678.incomplete").write_bytes(OTHER)
    (caches.hub / "stray").write_text("")
    seen = caches.seen()
    assert seen.strange == ("stray",)
    assert seen.repos[0].strange == ("extra", "blobs/notes.txt")
    assert [each.size for each in seen.repos[0].incomplete] == [3000]


def test_broken_links_and_refs_to_nothing_are_told(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    next(repo.blobs.iterdir()).unlink()
    repo.ref("gone").write_text(commit(9))
    (found,) = caches.seen().repos
    assert [each.path for each in found.broken] == ["a.bin"]
    assert found.dangling_refs == (("gone", commit(9)),)


def test_the_hubs_shared_store_is_not_strange(caches):
    caches.place("org/name", {"a.bin": BIG})
    (caches.hub / "blobs").mkdir()
    assert caches.seen().strange == ("blobs",)
    (caches.hub / "blobs" / ".huggingface-shared-blobs").write_bytes(b"1\n")
    assert caches.seen().strange == ()


def test_checkpoints_and_their_promises(caches):
    caches.checkpoint("resnet", BIG)
    (caches.torch / "vit-b.pth").write_bytes(OTHER)
    (caches.torch / "readme.txt").write_text("none of ours")
    (caches.torch / f".vit-b.pth.{'c' * 64}.chunkdl-part").write_bytes(OTHER)
    seen = caches.seen()
    assert [(each.id.startswith("torch:"), bool(each.prefix)) for each in seen.checkpoints] == [
        (True, True),
        (True, False),
    ]
    assert [each.place for each in seen.torch_partials] == ["torch"]


def test_no_cache_at_all_is_an_empty_one(caches):
    assert caches.seen().repos == ()


def test_a_listing_that_knows_a_real_file_makes_it_no_stranger(caches):
    repo = caches.place("org/name", {"a.bin": BIG})
    (repo.snapshot(commit(1)) / "b.txt").write_text("x")
    entry = {"size": 1, "blob_id": "c" * 40}
    repo.tree(commit(1)).parent.mkdir(exist_ok=True)
    repo.tree(commit(1)).write_text(json.dumps({"format_version": 1, "files": {"b.txt": entry}}))
    assert caches.seen().repos[0].revisions[0].own_files == ()
