from pathlib import Path

import pytest

from chunkdl.assemble.layout import HubCache
from chunkdl.errors import PlacementRefused
from chunkdl.model import Digest, DigestAlgorithm, RepoType

COMMIT = "86b5e0934494bd15c9632b12f734a8a67f723594"
DIGEST = Digest(DigestAlgorithm.SHA256, "ab" * 32)
CACHE = HubCache(Path("/c"))
REPO = CACHE.repo(RepoType.MODEL, "google-bert/bert-base-uncased")


@pytest.mark.parametrize(
    ("repo_type", "repo_id", "name"),
    [
        (RepoType.MODEL, "bert-base-uncased", "models--bert-base-uncased"),
        (RepoType.MODEL, "google-bert/bert-base-uncased", "models--google-bert--bert-base-uncased"),
        (RepoType.DATASET, "org/Name.v1", "datasets--org--Name.v1"),
        (RepoType.SPACE, "a/b", "spaces--a--b"),
    ],
)
def test_the_folder_is_named_after_the_id_as_typed(repo_type, repo_id, name):
    assert CACHE.repo(repo_type, repo_id).path == Path("/c") / name


def test_every_place_of_a_repository():
    repo = "/c/models--google-bert--bert-base-uncased"
    blob = f"{repo}/blobs/{'ab' * 32}"
    places = {
        REPO.blob(DIGEST): blob,
        REPO.part(DIGEST): f"{blob}.chunkdl-part",
        REPO.journal(DIGEST): f"{blob}.chunkdl-journal",
        REPO.owner(DIGEST): f"{blob}.chunkdl-owner",
        REPO.lock(DIGEST): f"/c/.locks/models--google-bert--bert-base-uncased/{'ab' * 32}.lock",
        REPO.pointer(COMMIT, "a/b.bin"): f"{repo}/snapshots/{COMMIT}/a/b.bin",
        REPO.ref("main"): f"{repo}/refs/main",
        REPO.ref("refs/pr/1"): f"{repo}/refs/refs/pr/1",
        REPO.tree(COMMIT): f"{repo}/trees/{COMMIT}.json",
        REPO.no_exist(COMMIT, "a/b.json"): f"{repo}/.no_exist/{COMMIT}/a/b.json",
        CACHE.tag: "/c/CACHEDIR.TAG",
    }
    assert {str(path): text for path, text in places.items()} == {text: text for text in places.values()}


@pytest.mark.parametrize(("path", "climb"), [("a", 2), ("a/b", 3), ("a/b/c/d", 5)])
def test_links_climb_once_more_a_sub_folder(path, climb):
    assert REPO.link_target(path, DIGEST) == "../" * climb + f"blobs/{'ab' * 32}"


BAD_COMMITS = ["main", "A" * 40, "0" * 39, "0" * 41, "../" + "0" * 37, "0" * 40 + "\n"]


@pytest.mark.parametrize("commit", BAD_COMMITS)
def test_what_is_no_commit_names_no_snapshot(commit):
    for place in (
        REPO.snapshot,
        REPO.tree,
        lambda text: REPO.pointer(text, "a"),
        lambda text: REPO.no_exist(text, "a"),
    ):
        with pytest.raises(PlacementRefused):
            place(commit)


@pytest.mark.parametrize("revision", ["../x", "/x", "a/../../x", "a\0", ""])
def test_a_hostile_revision_names_no_ref(revision):
    with pytest.raises(PlacementRefused):
        REPO.ref(revision)


@pytest.mark.parametrize("repo_id", ["a\0b", "a\\..\\b", "a\nb", "x" * 300])
def test_a_hostile_id_names_no_folder(repo_id):
    with pytest.raises(PlacementRefused):
        CACHE.repo(RepoType.MODEL, repo_id)
