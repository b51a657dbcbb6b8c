"""Many processes want one part file: always exactly one has it, whoever dies."""

import os
import random
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.programs import line_of
from tests.support.trials import seeded

PROGRAM = Path(__file__).with_name("owner_process.py")
CROWD = 8


class Contender:
    """One process of the crowd."""

    def __init__(self, path, stack):
        self.process = stack.enter_context(
            subprocess.Popen([sys.executable, PROGRAM, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(self.process.kill)

    def tell(self, command):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def answer(self):
        return line_of(self.process)

    def die(self):
        """Killed, and dead when this returns, but not waited for: it stays in the process table."""
        self.process.kill()
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)

    def ask(self, command):
        self.tell(command)
        return self.answer()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "abc.chunkdl-owner"


@pytest.fixture
def crowd(path):
    with ExitStack() as stack:
        yield [Contender(path, stack) for _ in range(CROWD)]


def all_claim(crowd):
    """Everybody looks at once; returns the owners and their generations."""
    for each in crowd:
        each.tell("claim")
    answers = {each: each.answer() for each in crowd}
    assert set(answers.values()) - {"held"} == {answer for answer in answers.values() if answer.startswith("owned ")}
    return [(each, int(answer.split()[1])) for each, answer in answers.items() if answer != "held"]


def test_owners_killed_one_after_another_are_replaced_at_once_by_one_each(crowd, path):
    for generation in range(1, CROWD + 1):
        owners = all_claim(crowd)
        assert [number for _, number in owners] == [generation]
        owner = owners[0][0]
        assert owner.ask("work") == "mine"
        owner.die()
        crowd.remove(owner)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_an_owner_that_leaves_is_followed_by_one(crowd, path):
    for _ in range(10):
        ((owner, generation),) = all_claim(crowd)
        assert generation == 1
        assert owner.ask("work") == "mine"
        assert owner.ask("leave") == "left"
        assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("turn", range(3))
def test_contenders_killed_in_the_middle_of_taking_over_block_nobody(crowd, turn):
    rng = random.Random(seeded() + turn)
    while len(crowd) >= 3:
        ((owner, _),) = all_claim(crowd)
        assert owner.ask("work") == "mine"
        owner.die()
        crowd.remove(owner)
        for each in crowd:
            each.tell("claim")
        victim = crowd.pop(rng.randrange(len(crowd)))
        victim.die()
        for each in [each for each in crowd if each.answer().startswith("owned")]:
            assert each.ask("work") == "mine"
            each.die()
            crowd.remove(each)
