import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.convert.header import BITS, Tensor, laid_out, read_header, spell_header
from chunkdl.errors import IntegrityError
from tests.support.safetensors_files import spelt


def entry(dtype, shape, start, stop):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


HOSTILE = {
    "empty": b"",
    "too short for a length": b"\x01\x02",
    "a header of eight exabytes": (2**63).to_bytes(8, "little") + b"{}",
    "a header longer than the file": (1000).to_bytes(8, "little") + b"{}",
    "no JSON": spelt(b"no JSON"),
    "nested": spelt(b"[" * 100_000),
    "a list": spelt(b"[]"),
    "overlap": spelt({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)),
    "gap": spelt({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 12, 20)}, bytes(20)),
    "bytes missing": spelt({"a": entry("F32", [2], 0, 8)}, bytes(4)),
    "bytes too many": spelt({"a": entry("F32", [2], 0, 8)}, bytes(12)),
    "shape and size differ": spelt({"a": entry("F32", [3], 0, 8)}, bytes(8)),
    "negative": spelt({"a": entry("F32", [2], -8, 0)}, bytes(8)),
    "product overflows": spelt({"a": entry("F32", [2**62, 2**62], 0, 8)}, bytes(8)),
    "unknown type": spelt({"a": entry("Q4", [2], 0, 8)}, bytes(8)),
    "a name twice": spelt(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(8),
    ),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_or_hostile_file_is_refused_by_name(tmp_path, data):
    (tmp_path / "m.safetensors").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"sub/m\.safetensors is no whole safetensors file") as caught:
        read_header(tmp_path / "m.safetensors", "sub/m.safetensors")
    assert caught.value.file == "sub/m.safetensors"


def test_what_is_there_is_read(tmp_path):
    header = {"__metadata__": {"format": "pt"}, "b": entry("I64", [1], 8, 16), "a": entry("F32", [2], 0, 8)}
    (tmp_path / "m").write_bytes(spelt(header, bytes(16)))
    found = read_header(tmp_path / "m", "m")
    assert [(each.name, each.dtype, each.shape, each.size) for each in found.tensors] == [
        ("a", "F32", (2,), 8),
        ("b", "I64", (1,), 8),
    ]
    assert (found.metadata, found.data_bytes) == ({"format": "pt"}, 16)


SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)
TENSORS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name != "__metadata__"),
    st.tuples(st.sampled_from(sorted(BITS)), SHAPES),
    max_size=6,
)


@given(
    TENSORS, st.none() | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.just("x"), max_size=2)
)
def test_what_is_laid_out_is_what_the_library_takes(tmp_path_factory, tensors, metadata):
    placed = laid_out(Tensor(name, dtype, shape, 0, 0) for name, (dtype, shape) in tensors.items())
    head = spell_header(placed, metadata)
    path = tmp_path_factory.getbasetemp() / "laid-out.safetensors"
    path.write_bytes(head + bytes(sum(each.size for each in placed)))
    found = read_header(path, path.name)
    assert sorted(found.tensors, key=lambda each: each.name) == sorted(placed, key=lambda each: each.name)
    assert found.data_start == len(head)
    assert len(head) % 8 == 0
    assert all(each.start % (BITS[each.dtype] // 8) == 0 for each in placed)
    told = json.loads(head[8:])
    assert told.get("__metadata__") == metadata
