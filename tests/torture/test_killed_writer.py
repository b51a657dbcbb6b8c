"""SIGKILL at any moment: what the journal still says is true, and hardly anything said is lost."""

import random
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from store_writer import HEADER, content, history, record

from chunkdl.core.journal_codec import claims, decode
from tests.support.programs import line_of
from tests.support.trials import seeded

PROGRAM = Path(__file__).with_name("store_writer.py")
ROUNDS = 6


def run_and_kill(folder, seed, after_appends, compact_every=4):
    """Returns how many claims the writer began with; it is killed somewhere after so many appends."""
    command = [sys.executable, PROGRAM, folder, str(seed), str(compact_every)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        found = int(line_of(writer))
        for _ in range(after_appends):
            assert line_of(writer) == "."
        writer.kill()
        later = writer.stdout.read().count(".")
    return found, after_appends + later


def assert_true(folder, decoded):
    """Every claim's bytes are in the part file and hash to it."""
    part = (folder / "part").read_bytes()
    for claim in claims(decoded.records):
        assert part[claim.range.start : claim.range.stop] == content(claim.range.start, claim.range.stop)
        assert claim == record(claim.range)


@pytest.mark.parametrize("turn", range(3))
def test_a_writer_killed_again_and_again(tmp_path, turn):
    seed = seeded() + turn
    rng = random.Random(seed)
    known = ()
    for round_seed in range(seed * 100, seed * 100 + ROUNDS):
        appends = rng.randint(0, 20)
        found, returned = run_and_kill(tmp_path, round_seed, appends)
        assert found == len(known)
        decoded = decode((tmp_path / "journal").read_bytes())
        assert decoded.header == HEADER
        assert_true(tmp_path, decoded)
        written = [record(each) for batch in islice(history(round_seed), returned) for each in batch]
        known = claims(decoded.records)
        for at in written[-1:]:  # the newest that was reported is there, or something newer replaced it
            assert any(each.range.start < at.range.stop and at.range.start < each.range.stop for each in known)


def test_each_record_that_was_reported_is_in_the_journal_in_order(tmp_path):
    """Without compaction the file is the history, cut somewhere after the last append that returned."""
    first = seeded()
    for seed in range(first, first + 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        _, returned = run_and_kill(folder, seed, after_appends=5, compact_every=1 << 30)
        records = decode((folder / "journal").read_bytes()).records
        reported = sum(len(batch) for batch in islice(history(seed), returned))
        assert len(records) >= reported >= 5
        expected = [record(each) for batch in islice(history(seed), returned + 1) for each in batch]
        assert list(records) == expected[: len(records)]
