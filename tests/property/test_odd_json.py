"""Whatever JSON a server sends, it is read or refused: nothing else escapes."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chunkdl.errors import ChunkdlError
from chunkdl.identify.answers import parse_info, parse_siblings, parse_tree_page
from chunkdl.identify.modelscope_answers import parse_entries, parse_envelope, parse_refs
from chunkdl.model import Mirror

COMMIT, SHA = "12" * 20, "ab" * 32
MIRROR = Mirror("https://a.example", "a")
ORIGIN = Mirror("https://a.example", "a", is_origin=True)
KEYS = {
    "hub": "sha id lastModified private gated disabled siblings rfilename blobId path type size oid lfs sha256 "
    "pointerSize xetHash",
    "ms": "Code Success Message Data Files Path Type Size Sha256 Revision CommittedDate RevisionMap Branches Tags",
}
WORDS = ["", "file", "blob", "tree", "a/b", "\ud800", COMMIT, SHA, "7" * 5000, 1 << 63, -1, 0, 200, 1e300, True, None]


def json_with(keys):
    """Values that look like the answer without being one: the right keys, anything below them."""
    scalars = st.sampled_from(WORDS) | st.integers() | st.floats() | st.text(max_size=5)
    names = st.sampled_from(keys.split())
    return st.recursive(
        scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=6), max_leaves=12
    )


def refused_or_read(read):
    with suppress(ChunkdlError):
        read()


@pytest.mark.parametrize("mirror", [MIRROR, ORIGIN], ids=["mirror", "origin"])
@given(value=json_with(KEYS["hub"]))
@example(value={"path": "a", "type": "file", "oid": {}, "lfs": {"oid": SHA, "size": 1, "pointerSize": 7}})
def test_hubs(value, mirror):
    for answer in (value, [value], {"sha": COMMIT, "siblings": [value]}):
        body = json.dumps(answer).encode()
        refused_or_read(lambda body=body: parse_info(body, "org/name", mirror))
        refused_or_read(lambda body=body: parse_tree_page(body, mirror))
        refused_or_read(lambda body=body: parse_siblings(body, COMMIT, mirror))


@given(value=json_with(KEYS["ms"]), kind=st.sampled_from(WORDS) | json_with(KEYS["ms"]))
@example(value={"Code": "7" * 5000}, kind=[])
@example(value={"RevisionMap": {"Branches": 5}}, kind={})
def test_modelscope(value, kind):
    refused_or_read(lambda: parse_envelope(json.dumps(value).encode(), MIRROR))
    for data in (value, [value], {"Files": [value, {"Path": "a", "Size": 1, "Type": kind}]}):
        refused_or_read(lambda data=data: parse_entries(data, MIRROR))
        refused_or_read(lambda data=data: parse_refs(data, MIRROR))
        refused_or_read(lambda data=data: parse_refs({"RevisionMap": data}, MIRROR))
