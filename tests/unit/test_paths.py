import pytest

from chunkdl.core.paths import check_for_windows, check_path, check_paths, find_twins
from chunkdl.errors import PlacementRefused

HOSTILE = [
    "",
    "/etc/passwd",
    "//server/share",
    "..",
    "../evil",
    "a/../../evil",
    "a/..",
    ".",
    "./a",
    "a//b",
    "a/",
    "..\\evil",
    "a\\..\\..\\evil",
    "a/b\\..",
    "\\evil",
    "\\\\server\\share\\x",
    "\\\\?\\C:\\x",
    "\\\\.\\pipe\\x",
    "a/\\evil",
    "C:\\x",
    "c:/x",
    "D:foo",
    "a/C:x",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "a\x85b",
    "a\ud800b",
    "x" * 256,
    "é" * 128,
    "/".join(["folder"] * 400),
]

PLAIN = [
    "config.json",
    ".gitattributes",
    "a/b/c.bin",
    "..a/b..",
    "...",
    "1_Pooling/config.json",
    "模型/权重 (1).safetensors",
    "x" * 255,
    "é" * 127,
    "a\\b",
    "con",
    "name: with colon",
    "~/x",
    "$HOME",
    "-rf",
]


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_a_hostile_path_is_refused_in_one_printable_line(path):
    with pytest.raises(PlacementRefused) as caught:
        check_path(path)
    assert caught.value.exit_code == 7
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600


@pytest.mark.parametrize("path", PLAIN, ids=ascii)
def test_a_plain_path_passes(path):
    check_path(path)


def test_a_listing_with_a_path_twice_is_refused():
    with pytest.raises(PlacementRefused, match="'b': it stands twice"):
        check_paths(["a", "b", "b"])


def test_a_path_that_is_file_and_folder_is_refused_in_either_order():
    for paths in (["a/b", "a/b/c"], ["a/b/c", "a/b"], ["a/b/c/d", "x", "a"]):
        with pytest.raises(PlacementRefused, match="also the folder of"):
            check_paths(paths)


def test_names_that_only_begin_alike_may_stand_together():
    check_paths(["a", "a.b", "ab/c", "b/a", "b/a.c/d"])


@pytest.mark.parametrize(
    "path", ["con", "a/NUL.txt", "com1.tar.gz", "LPT¹", "aux .x", "a.", "a /b", "ab:c", "a\\b", "what?", "a|b"]
)
def test_what_windows_cannot_hold_is_refused_there_only(path):
    check_path(path)
    with pytest.raises(PlacementRefused):
        check_for_windows(path)


@pytest.mark.parametrize("path", ["console.txt", "nully/x", "a.b/c.d", "com10", "模型.bin"])
def test_what_windows_can_hold_passes(path):
    check_for_windows(path)


def test_twins_are_pairs_equal_but_for_case_or_composition():
    paths = ["a.py", "b.py", "A.PY", "caf\u00e9", "cafe\u0301", "STRASSE", "straße", "x/y"]
    assert find_twins(paths) == (("a.py", "A.PY"), ("caf\u00e9", "cafe\u0301"), ("STRASSE", "straße"))
