"""The inquiry after a failed digest, played out against mirrors that lie in known ways."""

import random

import pytest

from chunkdl.core.journal_codec import Record
from chunkdl.core.provenance import Provenance
from chunkdl.core.repair import BeyondRepair, Copy, Guilty, Repair
from chunkdl.model import ByteRange

PIECE = 100


def true_hash(span):
    return span.start.to_bytes(16, "big")


class World:
    """Pieces of a file by host; a host lies where ``lies(host, span)`` says so; replacements go round the others."""

    def __init__(self, owners, lies):
        self.lies = lies
        self.hosts = sorted(set(owners))
        self.spans = [ByteRange(at * PIECE, (at + 1) * PIECE) for at in range(len(owners))]
        self.provenance = Provenance(self.record(span, host) for span, host in zip(self.spans, owners, strict=True))
        self.fetched = 0
        self._turn = random.Random(5)

    def record(self, span, host):
        xxh3 = b"lie" + host.encode().ljust(13) if self.lies(host, span) else true_hash(span)
        return Record(span, xxh3, host)

    @property
    def right(self):
        return all(piece.xxh3 == true_hash(piece.range) for piece in self.provenance)

    def fetch_again(self, doubts):
        second = []
        for doubt in doubts:
            others = [host for host in self.hosts if host not in doubt.avoid] or self.hosts
            for piece in doubt.pieces:
                record = self.record(piece.range, self._turn.choice(others))
                self.provenance.add(record)
                self.fetched += PIECE
                second.append(Copy(piece.range, frozenset({record.host}), record.xxh3))
        return second

    def mend(self, known_bad=()):
        repair = Repair()
        for _ in range(100):
            step = repair.next_step(self.provenance, known_bad)
            if isinstance(step, BeyondRepair):
                return step
            worth = repair.learn(self.fetch_again(step), self.provenance)
            if worth and self.right:
                return repair.guilty({span: true_hash(span) for span in repair.compared})
        raise AssertionError("the inquiry does not end")


def three_hosts(pieces=300, seed=1):
    rng = random.Random(seed)
    return [rng.choice("slt") for _ in range(pieces)]


@pytest.mark.parametrize("seed", range(20))
def test_a_liar_among_three_is_found_and_only_the_liar(seed):
    world = World(three_hosts(seed=seed), lambda host, span: host == "l" and (span.start // PIECE) % 5 == 0)
    verdict = world.mend()
    assert world.right
    assert [guilty.host for guilty in verdict] == ["l"]
    assert all((span.start // PIECE) % 5 == 0 for span in verdict[0].ranges)


@pytest.mark.parametrize("seed", range(20))
def test_the_extra_bytes_stay_near_the_liars_own_contribution(seed):
    owners = three_hosts(seed=seed)
    world = World(owners, lambda host, span: host == "l" and (span.start // PIECE) % 5 == 0)
    world.mend()
    assert world.fetched <= 1.4 * owners.count("l") * PIECE


def test_two_hosts_are_enough_even_if_the_honest_one_is_doubted_first():
    world = World(["h"] * 10 + ["l"] * 40, lambda host, span: host == "l" and (span.start // PIECE) % 3 == 0)
    verdict = world.mend()
    assert world.right
    assert [guilty.host for guilty in verdict] == ["l"]


def test_a_host_that_broke_the_protocol_is_replaced_first_when_two_disagree():
    owners = ["h"] * 10 + ["l"] * 40
    told = World(owners, lambda host, span: host == "l")
    told.mend(known_bad=["l"])
    untold = World(owners, lambda host, span: host == "l")
    untold.mend()
    assert told.fetched < untold.fetched


def test_two_liars_of_three_are_both_named():
    world = World(three_hosts(), lambda host, span: host in "lt" and (span.start // PIECE) % 4 == 0)
    verdict = world.mend()
    if not isinstance(verdict, BeyondRepair):
        assert {guilty.host for guilty in verdict} == {"l", "t"}


def test_a_single_lying_host_gets_one_more_pass_and_no_other():
    world = World(["only"] * 10, lambda host, span: span.start == 300)
    verdict = world.mend()
    assert verdict == BeyondRepair(())
    assert world.fetched == 10 * PIECE


def test_when_every_copy_agrees_nobody_is_accused():
    world = World(three_hosts(30), lambda host, span: False)
    world.record = lambda span, host: Record(span, b"the same for all", host)
    world.provenance = Provenance(map(world.record, world.spans, three_hosts(30)))
    assert world.mend() == BeyondRepair(())


def test_of_a_range_that_several_hosts_shared_nobody_is_accused():
    repair = Repair()
    step = repair.next_step(World(["a", "b"], lambda host, span: False).provenance)
    second = [Copy(piece.range, frozenset({"b", "c"}), b"x" * 16) for doubt in step for piece in doubt.pieces]
    repair.learn(second, Provenance())
    accused = repair.guilty({span: true_hash(span) for span in repair.compared})
    assert accused == ()


def test_the_copy_that_differs_from_the_truth_convicts_whoever_sent_it():
    repair = Repair()
    step = repair.next_step(World(["a", "b"], lambda host, span: False).provenance)
    second = [Copy(piece.range, frozenset({"c"}), b"x" * 16) for doubt in step for piece in doubt.pieces]
    repair.learn(second, Provenance())
    accused = repair.guilty({span: true_hash(span) for span in repair.compared})
    assert accused == (Guilty("c", (ByteRange(0, 2 * PIECE),)),), "adjoining ranges are one"


def test_a_sample_of_a_large_piece_is_its_beginning_hashed_where_it_lies():
    large = ByteRange(0, 8 << 20)
    repair = Repair()
    (doubt,) = repair.next_step(
        Provenance([Record(large, b"x" * 16, "a"), Record(ByteRange(8 << 20, 9 << 20), b"y" * 16, "b")])
    )[:1]
    (span,) = doubt.ranges
    assert span.start == 0
    assert len(span) <= 1 << 20
    assert span in repair.unhashed
    repair.know({span: b"first of it".ljust(16) for span in repair.unhashed})
    assert repair.unhashed == ()
    sampled = [piece.range for each in repair.step for piece in each.pieces]
    second = [Copy(each, frozenset({"c"}), b"first of it".ljust(16)) for each in sampled]
    assert not repair.learn(second, Provenance()), "nothing changed: the digest fails as before"
    assert set(repair.compared) == set(sampled)


def test_samples_begin_where_a_hosts_run_begins():
    world = World(["h", "l", "l", "l", "h", "l"], lambda host, span: False)
    repair = Repair()
    first = {doubt.avoid: doubt.ranges for doubt in repair.next_step(world.provenance)}
    repair.learn(world.fetch_again(repair.step), world.provenance)
    second = {doubt.avoid: doubt.ranges for doubt in repair.next_step(world.provenance)}
    begins = {world.spans[1], world.spans[5]}
    assert set(first[("l",)]) | set(second[("l",)]) >= begins
