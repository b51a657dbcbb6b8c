from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cache_world import COMMIT, files_named

from chunkdl.assemble.local_folder import LocalFolder
from chunkdl.errors import PlacementRefused

FOLDER = LocalFolder(Path("/home/me/my model"))
[WEIGHTS] = files_named("model.safetensors")


def test_the_bookkeeping_is_named_as_the_hubs():
    records = FOLDER.root / ".cache" / "huggingface"
    assert FOLDER.file("onnx/model.onnx") == FOLDER.root / "onnx" / "model.onnx"
    assert FOLDER.metadata("onnx/model.onnx") == records / "download" / "onnx" / "model.onnx.metadata"
    assert FOLDER.lock("onnx/model.onnx") == records / "download" / "onnx" / "model.onnx.lock"
    assert FOLDER.tree(COMMIT) == records / "trees" / f"{COMMIT}.json"
    assert (FOLDER.ignore_file, FOLDER.tag) == (records / ".gitignore", records / "CACHEDIR.TAG")


def test_our_files_stand_in_download_by_digest():
    names = [
        getattr(FOLDER, kind)(WEIGHTS.digest).relative_to(FOLDER.downloads).as_posix()
        for kind in ("blob", "part", "journal", "owner")
    ]
    digest = WEIGHTS.digest.hex
    assert names == [f"{digest}.chunkdl-{kind}" for kind in ("proven", "part", "journal", "owner")]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "C:\\x", "a\0b", "", "a//b"])
def test_a_hostile_path_is_refused_everywhere(path):
    for place in (FOLDER.file, FOLDER.metadata, FOLDER.lock):
        if path or place == FOLDER.file:  # ".metadata" alone is a name like any other
            with pytest.raises(PlacementRefused):
                place(path)


@pytest.mark.parametrize(
    "path", [".cache/huggingface/x", ".CACHE/HuggingFace/download/y.metadata", ".cache/huggingface"]
)
def test_a_path_into_the_bookkeeping_is_refused_with_the_way_round(path):
    with pytest.raises(PlacementRefused) as refused:
        FOLDER.file(path)
    assert "--exclude" in refused.value.hint


@pytest.mark.parametrize("path", [".cache/other/x", ".cache", "a/.cache/huggingface/x", ".cachehuggingface"])
def test_what_only_resembles_it_is_a_file_like_any_other(path):
    assert FOLDER.file(path) == FOLDER.root / path


@given(st.text(st.sampled_from("aA./\\:.~\0é"), max_size=30))
def test_no_path_leaves_the_folder(path):
    for place, root in (
        (FOLDER.file, FOLDER.root),
        (FOLDER.metadata, FOLDER.downloads),
        (FOLDER.lock, FOLDER.downloads),
    ):
        try:
            found = place(path)
        except PlacementRefused:
            continue
        assert root in Path(found).parents
        assert ".." not in found.parts
