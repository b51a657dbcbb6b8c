import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.planner import Action, Inventory, check_space, make_plan, segment_bytes
from chunkdl.core.ranges import RangeSet
from chunkdl.core.selection import Selection
from chunkdl.errors import DiskFull, MirrorMisbehaved
from chunkdl.model import (
    GIB,
    MIB,
    Artifact,
    Authority,
    AuthorityKind,
    ByteRange,
    Digest,
    DigestAlgorithm,
    Reference,
    RemoteFile,
)


def digest(number):
    return Digest(DigestAlgorithm.SHA256, f"{number:064x}")


def remote(path, size, number=None):
    return RemoteFile(path, size, digest(number if number is not None else hash(path) % 10**9))


def plan(files, inventory=None, *, left_out=(), force=False):
    authority = Authority(AuthorityKind.ORIGIN, "hub", authenticated=True)
    artifact = Artifact(Reference("org/name", "org/name"), "org/name", "a" * 40, (*files, *left_out), authority)
    return make_plan(artifact, Selection(tuple(files), tuple(left_out)), inventory or Inventory(), force=force)


WEIGHTS = remote("model.safetensors", 100 * MIB, 1)


def test_an_empty_cache_fetches_everything():
    made = plan([WEIGHTS])
    assert made.contents[0].action is Action.FETCH
    assert made.contents[0].pending == (ByteRange(0, 100 * MIB),)
    assert made.bytes_to_fetch == made.disk_needed == made.bytes_total == 100 * MIB


def test_small_files_come_first_and_both_halves_keep_the_listing_order():
    names = [("b.bin", 50 * MIB), ("z.json", 10), ("a.bin", 90 * MIB), ("c.json", 20)]
    made = plan([remote(name, size) for name, size in names])
    assert [each.paths[0] for each in made.contents] == ["z.json", "c.json", "b.bin", "a.bin"]


def test_one_digest_under_two_names_is_one_content():
    made = plan([remote("onnx/model_quantized.onnx", 9 * MIB, 7), remote("onnx/model_uint8.onnx", 9 * MIB, 7)])
    assert made.contents[0].paths == ("onnx/model_quantized.onnx", "onnx/model_uint8.onnx")
    assert made.bytes_to_fetch == 9 * MIB
    assert len(made.chosen) == 2


def test_one_digest_with_two_sizes_is_refused_by_name():
    with pytest.raises(MirrorMisbehaved, match=r"two sizes: a\.bin 5, b\.bin 6"):
        plan([remote("a.bin", 5, 7), remote("b.bin", 6, 7)])


def test_a_blob_that_is_here_needs_no_byte():
    made = plan([WEIGHTS], Inventory(blobs=frozenset({WEIGHTS.digest})))
    assert made.contents[0].action is Action.PRESENT
    assert (made.bytes_to_fetch, made.bytes_reused) == (0, 100 * MIB)


def test_a_real_file_in_the_snapshot_is_present_although_blobs_is_empty():
    made = plan([WEIGHTS], Inventory(placed=frozenset({"model.safetensors"})))
    assert made.contents[0].action is Action.PRESENT


def test_a_content_of_two_paths_of_which_one_is_placed_is_not_yet_present():
    files = [remote("a", 5, 7), remote("b", 5, 7)]
    assert plan(files, Inventory(placed=frozenset({"a"}))).contents[0].action is Action.FETCH


def test_another_repository_has_it():
    made = plan([WEIGHTS], Inventory(elsewhere={WEIGHTS.digest: ("/cache/other/blob",)}))
    assert made.contents[0].action is Action.REUSE
    assert made.contents[0].reuse_from == ("/cache/other/blob",)
    assert made.disk_needed == 0


def test_a_journal_is_resumed_and_its_claims_are_clipped_to_the_file():
    claims = (ByteRange(8 * MIB, 16 * MIB), ByteRange(96 * MIB, 104 * MIB))
    content = plan([WEIGHTS], Inventory(partials={WEIGHTS.digest: claims})).contents[0]
    assert content.action is Action.RESUME
    assert content.claimed == (ByteRange(8 * MIB, 16 * MIB), ByteRange(96 * MIB, 100 * MIB))
    assert content.pending == (ByteRange(0, 8 * MIB), ByteRange(16 * MIB, 96 * MIB))
    assert content.bytes_reused == 12 * MIB


def test_a_journal_that_claims_everything_is_still_only_a_claim():
    content = plan([WEIGHTS], Inventory(partials={WEIGHTS.digest: (ByteRange(0, 100 * MIB),)})).contents[0]
    assert (content.action, content.pending) == (Action.RESUME, ())


def test_an_empty_journal_is_a_fetch():
    content = plan([WEIGHTS], Inventory(partials={WEIGHTS.digest: ()})).contents[0]
    assert content.action is Action.FETCH


def test_an_empty_file_is_never_requested():
    made = plan([remote("empty.txt", 0)])
    assert made.contents[0].action is Action.EMPTY
    assert made.contents[0].pending == ()


def test_force_plans_as_if_nothing_were_here():
    inventory = Inventory(
        blobs=frozenset({WEIGHTS.digest}), partials={WEIGHTS.digest: (ByteRange(0, 5),)}, placed=frozenset({"a"})
    )
    made = plan([WEIGHTS], inventory, force=True)
    assert made.contents[0].action is Action.FETCH
    assert made.bytes_to_fetch == 100 * MIB


def test_force_needs_the_room_for_copies_as_well():
    inventory = Inventory(copies={WEIGHTS.digest: 100 * MIB}, free_bytes=1)
    assert plan([WEIGHTS], inventory, force=True).disk_needed == 200 * MIB


def test_what_was_left_out_is_counted():
    made = plan([WEIGHTS], left_out=[remote("tf_model.h5", 7)])
    assert made.bytes_left_out == 7


def test_files_that_run_code_are_named():
    made = plan([WEIGHTS, remote("modeling_x.py", 5), remote("pytorch_model.bin", 6)])
    assert made.executable == ("modeling_x.py", "pytorch_model.bin")


@pytest.mark.parametrize(("size", "grid"), [(1, 4 * MIB), (GIB - 1, 4 * MIB), (GIB, 8 * MIB), (50 * GIB, 8 * MIB)])
def test_the_grid(size, grid):
    assert segment_bytes(size) == grid
    assert plan([remote("x", size)]).contents[0].segment_bytes == grid
    reused = plan([remote("x", size)], Inventory(elsewhere={remote("x", size).digest: ("/cache/blob",)})).contents[0]
    assert (reused.action, reused.segment_bytes) == (Action.REUSE, grid), (
        "else a rotten blob costs the journal's claims"
    )


def test_a_plan_that_cannot_fit_names_both_numbers():
    with pytest.raises(DiskFull, match="needs 1000 more bytes and has 999 free") as caught:
        check_space(1000, 999)
    assert "--no-space-check" in caught.value.hint
    check_space(999, 999)
    check_space(1 << 60, None)


@given(
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 250), st.integers(1, 60)).map(lambda each: ByteRange(each[0], sum(each)))),
)
def test_pending_and_claimed_are_the_whole_and_never_overlap(size, claims):
    one = remote("x", size, 3)
    content = plan([one], Inventory(partials={one.digest: tuple(claims)})).contents[0]
    covered = RangeSet([*content.pending, *content.claimed])
    assert list(covered) == [ByteRange(0, size)]
    assert sum(map(len, content.pending)) + sum(map(len, content.claimed)) == size
