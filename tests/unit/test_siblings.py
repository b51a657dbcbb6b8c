"""Listings of hubs that have model info but no tree."""

import asyncio
import json

import pytest
from hub_stage import FILES, ORIGIN, REPO, Answer, Hubs, refused

from chunkdl.errors import ArtifactNotFound, MirrorMisbehaved, NotTheFile, PlacementRefused
from chunkdl.identify.answers import parse_siblings
from chunkdl.identify.huggingface import HubApi
from chunkdl.identify.references import parse_reference
from chunkdl.model import Mirror
from chunkdl.testing import HubRepo

MIRROR = Mirror(ORIGIN, "origin")
TREE = f"/api/models/org/name/tree/{REPO.commit}?recursive=true&expand=false"
INFO = f"/api/models/org/name/revision/{REPO.commit}?blobs=true"


def parsed(siblings, commit=REPO.commit, **more):
    return parse_siblings(json.dumps({"sha": REPO.commit, "siblings": siblings, **more}).encode(), commit, MIRROR)


def sibling(path="model.safetensors", **changes):
    return REPO.entries[path].sibling(blobs=True) | changes


class TestSiblings:
    def test_with_blobs_are_what_the_tree_says(self):
        found = parsed(REPO.info(blobs=True)["siblings"])
        assert {path: (file.size, file.digest.hex) for path, file in found} == {
            path: (each.size, each.digest) for path, each in REPO.entries.items()
        }
        lfs = dict(found)["model.safetensors"]
        assert lfs.pointer_oid == sibling()["blobId"]

    def test_without_blobs_are_names(self):
        assert parsed(REPO.info()["siblings"]) == [(path, None) for path in REPO.entries]

    @pytest.mark.parametrize("lacking", ["size", "blobId"])
    def test_half_a_description_is_none(self, lacking):
        assert parsed([sibling("config.json", **{lacking: None})]) == [("config.json", None)]

    def test_lfs_without_its_sha256_is_never_its_pointers_name(self):
        assert parsed([sibling(lfs={"size": 7})]) == [("model.safetensors", None)]

    @pytest.mark.parametrize(
        ("path", "bad"),
        [
            ("config.json", {"size": -1}),
            ("config.json", {"blobId": "x"}),
            ("model.safetensors", {"lfs": {"sha256": "x"}}),
            ("model.safetensors", {"lfs": sibling()["lfs"] | {"size": -1}}),
            ("model.safetensors", {"blobId": "b" * 40}),
        ],
    )
    def test_a_description_that_a_tree_is_refused_for(self, path, bad):
        with pytest.raises(MirrorMisbehaved, match="listing is refused"):
            parsed([sibling(path, **bad)])

    @pytest.mark.parametrize("entry", [None, "a", {}, {"rfilename": 7}, {"path": "a"}])
    def test_without_a_path(self, entry):
        with pytest.raises(MirrorMisbehaved, match="without a path"):
            parsed([entry])

    @pytest.mark.parametrize("siblings", [None, {}, "a"])
    def test_no_list(self, siblings):
        with pytest.raises(MirrorMisbehaved, match="names no files"):
            parsed(siblings)

    def test_of_another_commit(self):
        with pytest.raises(MirrorMisbehaved, match="another commit"):
            parsed([], commit="c" * 40)

    def test_no_json(self):
        with pytest.raises(NotTheFile):
            parse_siblings(b"<html>", REPO.commit, MIRROR)


class Treeless(Hubs):
    """A hub that answers ``tree`` to the tree API and knows its repository otherwise."""

    tree = refused(404)
    blobs = True

    def _answer(self, repo, target):
        if "/tree/" in target:
            return self.tree
        if target.endswith("?blobs=true"):
            return Answer(body=json.dumps(repo.info(blobs=self.blobs)).encode())
        return super()._answer(repo, target.partition("?")[0])


def listing(hubs):
    pages = []
    api = HubApi(hubs, MIRROR, answer_s=8.0, on_page=lambda: pages.append(1))
    return asyncio.run(api.listing(parse_reference("org/name"), "org/name", REPO.commit)), len(pages)


class TestWithoutATree:
    @pytest.mark.parametrize("status", [404, 405, 501])
    def test_info_with_blobs_is_the_listing(self, status):
        hubs = Treeless({ORIGIN: REPO})
        hubs.tree = refused(status)
        files, pages = listing(hubs)
        assert [each.path for each in files] == list(REPO.entries)
        assert [target for _, target in hubs.asked] == [TREE, INFO]
        assert pages == 1

    @pytest.mark.parametrize("code", ["RevisionNotFound", "RepoNotFound"])
    def test_a_hub_that_says_what_is_missing_is_believed(self, code):
        hubs = Treeless({ORIGIN: REPO})
        hubs.tree = refused(404, code)
        with pytest.raises(ArtifactNotFound):
            listing(hubs)
        assert [target for _, target in hubs.asked] == [TREE]

    def test_nothing_at_all_is_not_found(self):
        with pytest.raises(ArtifactNotFound):
            listing(Hubs({ORIGIN: refused(404)}))

    @pytest.mark.parametrize("status", [500, 403, 429])
    def test_other_troubles_of_the_tree_are_no_lack_of_one(self, status):
        hubs = Treeless({ORIGIN: REPO})
        hubs.tree = refused(status)
        with pytest.raises(Exception, match=str(status)):
            listing(hubs)
        assert len(hubs.asked) == 1

    @pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a\x00b"])
    def test_a_hostile_name_is_refused_before_anything_is_asked_about_it(self, path):
        hubs = Treeless({ORIGIN: HubRepo("org/name", {**FILES, path: b"x"}, commit=REPO.commit)})
        hubs.blobs = False
        with pytest.raises(PlacementRefused):
            listing(hubs)
        assert len(hubs.asked) == 2

    def test_a_second_page_that_is_missing_is_a_broken_listing(self):
        hubs = Hubs({ORIGIN: REPO}, pages=1)
        first = hubs._answer

        def broken(repo, target):
            return refused(404) if "cursor" in target else first(repo, target)

        hubs._answer = broken
        with pytest.raises(ArtifactNotFound):
            listing(hubs)
        assert len(hubs.asked) == 2
