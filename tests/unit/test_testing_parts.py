"""The parts of a test mirror that need no socket: contents, repositories, signatures, pace, fault matching."""

import hashlib
import json
import struct
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.asked_range import asked_range
from chunkdl.model import MIB
from chunkdl.testing import HubRepo, SeededContent, bert_repo, fault, fault_names
from chunkdl.testing.answers import Answer, Delivery, Kind
from chunkdl.testing.bert import fitting_shape
from chunkdl.testing.content import BytesContent, JoinedContent, PathContent
from chunkdl.testing.faults import Fault
from chunkdl.testing.pace import LARGEST_PIECE_BYTES, SMALLEST_PIECE_BYTES, Pace
from chunkdl.testing.signing import UrlSigner
from chunkdl.testing.strikes import Strikes

SIZE = 3 * MIB + 17
WHOLE = {floats: bytes(SeededContent(5, SIZE, floats).read(0, SIZE)) for floats in (False, True)}
offsets = st.one_of(
    st.integers(0, SIZE), st.sampled_from([0, 1, 15, 16, 17, MIB - 1, MIB, MIB + 1, MIB + 16, 2 * MIB, SIZE])
)


@given(offsets, offsets, st.booleans())
def test_seeded_content_is_a_function_of_the_offset(one, other, floats):
    start, stop = sorted((one, other))
    assert bytes(SeededContent(5, SIZE, floats).read(start, stop)) == WHOLE[floats][start:stop]


@given(st.integers(0, SIZE - 5000), st.integers(1, 5000), st.data())
def test_first_difference_finds_the_first_wrong_byte(offset, length, draw):
    content = SeededContent(5, SIZE)
    data = bytearray(content.read(offset, offset + length))
    assert content.first_difference(data, offset) is None
    wrong = draw.draw(st.sets(st.integers(0, length - 1), min_size=1))
    for index in wrong:
        data[index] ^= 1
    assert content.first_difference(data, offset) == offset + min(wrong)


def test_first_difference_counts_bytes_past_the_end():
    content = SeededContent(5, 100)
    assert content.first_difference(bytes(content.read(0, 100)) + b"x") == 100


def test_seeds_sizes_and_shifts_are_told_apart():
    assert SeededContent(1, 4096).read(0, 4096) != SeededContent(2, 4096).read(0, 4096)
    assert WHOLE[False][:MIB] != WHOLE[False][MIB : 2 * MIB]
    assert SeededContent(5, SIZE).first_difference(WHOLE[False][4:1000]) == 0
    assert bytes(SeededContent(5, 50).read(0, 50)) == WHOLE[False][:50]


def test_float_content_is_small_finite_floats():
    values = struct.unpack(f"<{MIB // 4}f", WHOLE[True][:MIB])
    assert all(2**-8 < abs(value) < 2**-4 for value in values)
    assert {value > 0 for value in values} == {True, False}


def test_every_content_knows_its_digest_and_slices(tmp_path):
    head = b"0123456789abcdef"
    joined = JoinedContent(head, SeededContent(5, SIZE))
    whole = head + WHOLE[False]
    (tmp_path / "file").write_bytes(whole)
    for content in (joined, BytesContent(whole), PathContent(tmp_path / "file")):
        assert content.size == len(whole)
        assert content.sha256 == hashlib.sha256(whole).hexdigest()
        for start, stop in ((0, 4), (10, 40), (16, 99), (0, len(whole)), (len(whole), len(whole))):
            assert bytes(content.read(start, stop)) == whole[start:stop]


# Recorded from git: `printf hello | git hash-object --stdin`, and the hub's listing of a pointer's form.
HELLO_SHA1 = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"


def test_tree_entries_have_the_hubs_two_identities():
    repo = HubRepo("a/b", {"sub/hello.txt": "hello", "model.safetensors": b"weights"})
    folder, plain, lfs = sorted(repo.tree(), key=lambda entry: (entry["type"], entry["size"]))
    assert (folder["type"], folder["path"]) == ("directory", "sub")
    assert plain == {"type": "file", "oid": HELLO_SHA1, "size": 5, "path": "sub/hello.txt"}
    digest = hashlib.sha256(b"weights").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 7\n".encode()
    assert lfs["lfs"] == {"oid": digest, "size": 7, "pointerSize": len(pointer)}
    assert lfs["oid"] == hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()
    assert [each["path"] for each in repo.tree(recursive=False)] == ["model.safetensors", "sub"]
    assert [each["path"] for each in repo.tree("sub", recursive=False)] == ["sub/hello.txt"]


def test_large_files_are_lfs_whatever_their_name():
    repo = HubRepo("a/b", {"big.txt": SeededContent(1, 10_000_001), "small.txt": SeededContent(1, 1000)})
    assert [repo.entries[path].lfs for path in ("big.txt", "small.txt")] == [True, False]


def test_commits_follow_content_and_revisions_are_found():
    old = HubRepo("a/b", {"x": "1"}, branches=("old",))
    new = HubRepo("a/b", {"x": "2"}, tags=("v2",), older=(old,))
    assert HubRepo("a/b", {"x": "2"}).commit == new.commit != old.commit
    assert [new.at(name) for name in ("main", "v2", new.commit)] == [new] * 3
    assert [new.at(name) for name in ("old", old.commit)] == [old] * 2
    assert new.at("nowhere") is None


@pytest.mark.parametrize("size", [1, 3, 8, 39, 48, 440])
def test_bert_weights_come_within_five_percent(size):
    assert 0.95 * size * MIB <= fitting_shape(size * MIB).weight_bytes() <= size * MIB


def test_bert_repo_is_shaped_like_the_real_one():
    repo = bert_repo(2 * MIB, chat_templates=True)
    model = repo.entries["model.safetensors"].content
    length = struct.unpack("<Q", model.read(0, 8))[0]
    header = json.loads(bytes(model.read(8, 8 + length)))
    spans = sorted(each["data_offsets"] for name, each in header.items() if name != "__metadata__")
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert 8 + length + spans[-1][1] == model.size
    config = json.loads(repo.files["config.json"])
    vocabulary = repo.files["vocab.txt"].splitlines()
    assert (
        len(set(vocabulary)) == config["vocab_size"] == len(json.loads(repo.files["tokenizer.json"])["model"]["vocab"])
    )
    assert header["bert.embeddings.word_embeddings.weight"]["shape"] == [config["vocab_size"], config["hidden_size"]]
    assert repo.entries["pytorch_model.bin"].lfs
    assert "additional_chat_templates/tool_use.jinja" in repo.files
    assert "pytorch_model.bin" not in bert_repo(MIB, decoys=False).files


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=7-", (7, 10)),
        ("bytes=8-99", (8, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=10-12", (10, 10)),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("", None),
    ],
)
def test_range_headers(header, wanted):
    assert asked_range(header, 10) == wanted


def test_signed_urls_hold_until_expiry_and_byte_for_byte():
    signer = UrlSigner("secret", ttl_s=10)
    target = signer.sign("ab" * 32, now=100)
    assert signer.check(target, now=109.9) == "ab" * 32
    assert signer.check(target, now=110.1) is None
    for before, after in (("%7E", "~"), ("%2f", "%2F"), ("%20", "+"), ("X-Amz-Signature=", "X-Amz-Signature=0")):
        assert before in target
        assert signer.check(target.replace(before, after), now=101) is None
    assert UrlSigner("other", ttl_s=10).check(target, now=101) is None
    assert "X-Amz-Expires=1&" in UrlSigner("secret", ttl_s=1.9).sign("ab" * 32, now=100), "no more than it lasts"
    signer.revoke()
    assert signer.check(target, now=101) is None
    assert signer.check(signer.sign("cd" * 32, now=101), now=101) == "cd" * 32


@given(st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 0.5)), min_size=1))
def test_pace_never_runs_ahead_of_its_rate(steps):
    pace, now, sent = Pace(100_000), 0.0, 0
    for count, idle_s in steps:
        now = max(now + idle_s, pace.reserve(count, now + idle_s))
        sent += count
        # 0.05 s is the slack for late wake-ups.
        assert sent <= 100_000 * (now + 0.05) + 1


def test_pace_keeps_up_with_late_wake_ups():
    pace, now = Pace(100_000), 0.0
    for _ in range(100):
        now = pace.reserve(1000, now) + 0.02
    # Every wake-up came 0.02 s late, and yet a second's bytes took a second.
    assert now == pytest.approx(1.0, abs=0.06)
    assert Pace(None).reserve(10**9, 7.0) == 7.0


def test_pieces_fit_the_rate():
    assert Pace(None).piece_bytes == LARGEST_PIECE_BYTES
    assert Pace(10).piece_bytes == SMALLEST_PIECE_BYTES
    assert Pace(5_000_000).piece_bytes == 50_000


def strikes_of(given_fault, count, answer=None):
    strikes = Strikes()
    strikes.follow([given_fault], [])
    answer = answer or Answer(Kind.CONTENT, "model.safetensors", 206)
    return [bool(list(strikes.due(answer))) for _ in range(count)]


def test_faults_strike_when_their_data_says():
    yes, no = True, False
    assert strikes_of("html-200", 3) == [yes, yes, yes]
    assert strikes_of(fault("html-200", skip=2), 4) == [no, no, yes, yes]
    assert strikes_of(fault("html-200", every=2), 4) == [yes, no, yes, no]
    assert strikes_of(fault("html-200", skip=1, every=2, times=2), 7) == [no, yes, no, yes, no, no, no]
    assert strikes_of(fault("html-200", path="*.txt"), 1) == [no]
    assert strikes_of(fault("html-200", path="model.*"), 1) == [yes]
    assert strikes_of(fault("html-200", where="api"), 1) == [no]
    assert strikes_of(fault("html-200", where="api"), 1, Answer(Kind.TREE, "api/models/a/b", 200)) == [yes]
    assert strikes_of(fault("html-200", where="any"), 1) == [yes]


def test_counts_begin_anew_only_when_faults_change():
    strikes, answer = Strikes(), Answer(Kind.CONTENT, "x", 200)
    faults = [fault("html-200", times=1)]
    struck = []
    for _ in range(3):
        strikes.follow(faults, [])
        struck.append(bool(list(strikes.due(answer))))
    faults.append(fault("gzip"))
    strikes.follow(faults, [])
    assert struck == [True, False, False]
    assert len(list(strikes.due(answer))) == 2


def test_unknown_faults_are_refused_by_name():
    with pytest.raises(ValueError, match=r"no fault is called 'flip-bit'; there are: .*flip-bits"):
        fault("flip-bit")
    with pytest.raises(ValueError, match="not at 'contents'"):
        fault("flip-bits", where="contents")
    with pytest.raises(ValueError, match="from 1 on, not 0"):
        fault("flip-bits", every=0)


def test_every_fault_says_what_it_does():
    assert len(fault_names()) > 30
    for name in fault_names():
        kind = type(fault(name))
        assert kind.__doc__ != Fault.__doc__
        assert kind.__doc__.rstrip().endswith(".")


@given(st.integers(0, 99), st.integers(1, 100), st.integers(1, 50), st.lists(st.integers(0, 99)))
def test_flipped_bits_do_not_depend_on_how_a_body_is_cut(start, length, spacing, cuts):
    content = BytesContent(bytes(200))
    delivery = Delivery(content, start, start + length, flip_spacing_bytes=spacing)
    whole = delivery.read(0, length)
    edges = sorted({0, length, *(cut for cut in cuts if cut < length)})
    pieces = [bytes(delivery.read(one, other)) for one, other in pairwise(edges)]
    assert b"".join(pieces) == whole
    wanted = {0, *(offset - start for offset in range(0, 200, spacing) if start <= offset < start + length)}
    assert {index for index, byte in enumerate(whole) if byte} == wanted


def test_importing_the_package_imports_no_network():
    check = (
        "import sys, chunkdl.testing; "
        "print(sorted({'aiohttp', 'asyncio', 'ssl', 'multiprocessing'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"
