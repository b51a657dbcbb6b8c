"""The walk around the cap, against a tree that lives in a set and a server that cuts every answer off."""

import asyncio
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.errors import MirrorMisbehaved, PlacementRefused
from chunkdl.identify import modelscope_walk
from chunkdl.identify.modelscope_answers import Listed
from chunkdl.identify.modelscope_walk import Capped, Walk
from chunkdl.model import Mirror

MIRROR = Mirror("https://ms.example", "ms")
SHA = "ab" * 32
CAP = 4


class Tree:
    """Answers as the server does: at most CAP entries, folders among them, in order of path."""

    def __init__(self, paths):
        folders = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
        self.entries = sorted([(path, False) for path in paths] + [(path, True) for path in folders])
        self.asked = []

    async def page(self, query):
        self.asked.append(query)
        said = {name: values[-1] for name, values in parse_qs(query).items()}
        prefix = f"{said['Root']}/" if "Root" in said else ""
        found = [(path, is_folder) for path, is_folder in self.entries if path.startswith(prefix)]
        if said["Recursive"] == "False":
            found = [each for each in found if "/" not in each[0][len(prefix) :]]
        return [Listed(path, 0 if is_folder else 1, SHA, is_folder=is_folder) for path, is_folder in found[:CAP]]


def walk(tree):
    return asyncio.run(Walk(tree.page, MIRROR).folders())


def attempt(tree):
    try:
        return {each.path for each in walk(tree)}, True
    except Capped as capped:
        return {each.path for each in capped.files}, False


@pytest.fixture(autouse=True)
def small_cap(monkeypatch):
    monkeypatch.setattr(modelscope_walk, "CAP_ENTRIES", CAP)


def test_a_short_listing_takes_one_question():
    tree = Tree({"a", "b/c"})
    assert [each.path for each in walk(tree)] == ["a", "b/c"]
    assert tree.asked == ["Recursive=True"]


def test_a_long_one_is_asked_for_folder_by_folder():
    tree = Tree({"top", "a b/1", "a b/2", "c/1", "c/2"})
    assert [each.path for each in walk(tree)] == ["a b/1", "a b/2", "c/1", "c/2", "top"]
    assert tree.asked == ["Recursive=True", "Recursive=False", "Recursive=True&Root=a%20b", "Recursive=True&Root=c"]


def test_a_folder_that_alone_is_too_long_is_said():
    with pytest.raises(Capped) as caught:
        walk(Tree({f"a/{at}" for at in range(CAP + 1)} | {"b"}))
    assert {each.path for each in caught.value.files} == {"a/0", "a/1", "a/2", "a/3", "b"}


@given(st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), max_size=25))
def test_it_finds_everything_or_says_that_it_does_not(paths):
    files = {path for path in paths if not any(other.startswith(f"{path}/") for other in paths)}
    found, complete = attempt(Tree(files))
    assert found == files if complete else found <= files


def test_a_server_that_leads_in_circles_comes_to_an_end():
    async def page(query):
        del query
        return [Listed("a", 0, "", is_folder=True)] * CAP

    with pytest.raises(Capped):
        asyncio.run(Walk(page, MIRROR).folders())

    async def deeper(query):
        root = parse_qs(query).get("Root", ["x"])[-1]
        return [Listed(f"{root}/{at}", 0, "", is_folder=True) for at in range(CAP)]

    with pytest.raises(MirrorMisbehaved, match="without an end"):
        asyncio.run(Walk(deeper, MIRROR).folders())


def test_pages_end_with_the_first_that_is_not_full():
    asked = []

    async def page(query):
        asked.append(query)
        return [Listed(f"{len(asked)}-{at}", 1, SHA) for at in range(2 if len(asked) < 3 else 1)]

    assert len(asyncio.run(Walk(page, MIRROR).pages(2))) == 5
    assert asked == [f"Recursive=True&PageNumber={at}&PageSize=2" for at in (1, 2, 3)]


def test_pages_without_an_end_are_given_up():
    async def page(query):
        del query
        return [Listed("a", 1, SHA)]

    with pytest.raises(MirrorMisbehaved, match="without an end"):
        asyncio.run(Walk(page, MIRROR).pages(1))


@pytest.mark.parametrize("name", ["\ud800", "..", "a//b"])
def test_a_hostile_folder_is_not_asked_for(name):
    asked = []

    async def page(query):
        asked.append(query)
        return [Listed(name, 0, "", is_folder=True)] * CAP

    with pytest.raises(PlacementRefused):
        asyncio.run(Walk(page, MIRROR).folders())
    assert not any("Root" in query for query in asked)
