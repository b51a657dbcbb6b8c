import ntpath
import os
import posixpath
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.cache_world import COMMIT, World, git

from chunkdl.assemble.layout import HubCache
from chunkdl.core.paths import check_path, check_paths
from chunkdl.errors import PlacementRefused
from chunkdl.model import Digest, DigestAlgorithm, RepoType

fragments = st.sampled_from(
    [
        "..",
        ".",
        "/",
        "\\",
        "a",
        "b.bin",
        "C:",
        "con",
        " ",
        "\0",
        "\n",
        "é",
        "e\u0301",
        "模型",
        "~",
        "$HOME",
        "%2e",
        "\ud800",
    ]
)
lists = st.lists(fragments, max_size=8)
texts = st.one_of(lists.map("".join), lists.map("/".join), st.text())
names = st.text("0123456789abcdef", min_size=40, max_size=40)
digests = names.map(lambda name: Digest(DigestAlgorithm.GIT_SHA1, name))


def accepted(path):
    try:
        check_path(path)
    except PlacementRefused:
        return False
    return True


@given(texts)
def test_an_accepted_path_stays_below_any_folder_on_every_system(path):
    assume(accepted(path))
    for flavour, root in ((posixpath, "/r/s"), (ntpath, "C:\\r\\s")):
        joined = flavour.normpath(flavour.join(root, path))
        assert joined.startswith(root + flavour.sep)
        assert flavour.isabs(joined)
    parts = [os.fsencode(part) for part in path.split("/")]
    assert all(0 < len(part) <= 255 and b"\0" not in part for part in parts)


@given(texts, texts, texts, digests)
def test_no_place_leaves_the_repository_and_no_repository_the_root(repo_id, path, revision, digest):
    cache = HubCache(Path("/root of/caches"))
    try:
        repo = cache.repo(RepoType.DATASET, repo_id)
        places = [repo.pointer(COMMIT, path), repo.ref(revision), repo.no_exist(COMMIT, path)]
    except PlacementRefused:
        return
    assert repo.path.parent == cache.root
    for place in [*places, repo.blob(digest), repo.part(digest), repo.journal(digest), repo.owner(digest)]:
        assert Path(os.path.normpath(place)) == place
        assert place.is_relative_to(repo.path)
        assert place != repo.path


@given(texts, digests)
def test_every_link_leads_to_its_blob(path, digest):
    assume(accepted(path))
    repo = HubCache(Path("/c")).repo(RepoType.MODEL, "org/name")
    pointer, target = repo.pointer(COMMIT, path), repo.link_target(path, digest)
    assert not Path(target).is_absolute()
    assert os.path.normpath(pointer.parent / target) == str(repo.blob(digest))


@settings(max_examples=40)
@given(st.lists(texts, min_size=1, max_size=4), st.booleans())
def test_placing_touches_nothing_outside_the_cache_and_all_or_nothing_inside(paths, use_symlinks):
    content = b"content"
    files = [git(path, content) for path in paths]
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        world.store(files[:1], {paths[0]: content})
        try:
            check_paths(paths)
        except PlacementRefused:
            with pytest.raises(PlacementRefused):
                world.place(files, use_symlinks=use_symlinks)
            assert list(world.repo.snapshots.iterdir()) == []
        else:
            world.place(files, use_symlinks=use_symlinks)
            assert [world.shown(path) for path in paths] == [content] * len(paths)
        assert list(Path(folder).iterdir()) == [world.cache.root]
        assert {each.name for each in world.cache.root.iterdir()} == {"CACHEDIR.TAG", "models--org--name"}
