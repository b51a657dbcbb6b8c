"""Many processes on one reference where flock says yes to everybody: one identifies and fetches, the others wait."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from chunkdl.testing.answers import Kind
from tests.support.cache_rules import broken_rules

SIZE = 3 << 20  # enough for a part file
RATE = 32 << 10  # bytes a second: a minute and a half, in which twenty interpreters start on any machine
EASY_RATE = 4 << 20  # once everybody stands where the test wants them, the rest is only waited for
# What a lease that lost its tail, or a process that was killed, had on the wire or in its buffers.
ON_THE_WIRE = 1 << 19
LIMIT_S = 40.0  # of every wait
# Of what ends at once; tests/integration/test_cancel.py shows that it takes a second on a calm machine.
SOON_S = 5.0
# A look each half second and a very busy machine; silence alone would be believed after thirty.
AT_ONCE_S = 15.0
PROGRAM = """
import fcntl
fcntl.flock = lambda *_: None
import chunkdl.__main__
"""


class Command:
    """One ``chunkdl fetch``, and what it says on the way."""

    def __init__(self, stack, folder, origin, *arguments):
        environ = {"HF_HUB_CACHE": folder / "hub", "CHUNKDL_STATE_DIR": folder / "state", "HOME": folder}
        flags = ["--origin", origin.url, "--no-mirrors", "--progress", "json"]
        self.process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "fetch", *(arguments or ["org/name"]), *flags],
                env={**os.environ, **{key: str(value) for key, value in environ.items()}},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self.process.kill)
        self.said, self._silent = [], False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self._news:
                self.said.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._silent = True
            self._news.notify_all()

    def until(self, wanted):
        """The first thing that it says, from now or before, and is ``wanted``."""
        with self._news:
            self._news.wait_for(lambda: self._silent or any(map(wanted, self.said)), LIMIT_S)
            assert any(map(wanted, self.said)), self.said[-3:]
            return next(filter(wanted, self.said))

    def waits_for(self, owner):
        """True once it says that it waits for ``owner``."""
        return self.until(lambda each: f"process {owner.process.pid} " in (each.get("waiting_for") or ""))

    def is_told_of(self, others):
        """True once it has said that it waits for one of ``others``."""
        awaited = [event.get("waiting_for") or "" for event in self.said]
        return any(f"process {each.process.pid} " in name for each in others for name in awaited)

    def ended(self):
        """Exit code and what it wrote on stdout."""
        code = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return code, self.process.stdout.read()


def is_planned(event):
    return event["event"] == "planned"


def is_waiting(event):
    return bool(event.get("waiting_for"))


def sort(commands):
    """The one that works, and the others, all of whom wait for it."""
    for each in commands:
        each.until(lambda event: is_planned(event) or is_waiting(event))
    owners = [each for each in commands if any(map(is_planned, each.said))]
    assert len(owners) == 1
    waiting = [each for each in commands if each is not owners[0]]
    for each in waiting:
        each.waits_for(owners[0])
    return owners[0], waiting


def a_repo(name="org/name", seed=1):
    return HubRepo(name, {"config.json": b"{}", "empty.txt": b"", "model.safetensors": SeededContent(seed, SIZE)})


@contextmanager
def served(*repos, rate=RATE):
    """An origin that is slow until the test sets EASY_RATE, and a stack for commands that end before it does."""
    with MirrorServer(repos or [a_repo()], rate_bytes_per_s=rate).in_thread() as origin, ExitStack() as stack:
        yield origin, stack


def asked(origin):
    return origin.requests_by_kind[Kind.INFO], origin.requests_by_kind[Kind.TREE]


def assert_same_end(commands):
    endings = {each.ended() for each in commands}
    assert len(endings) == 1
    code, path = endings.pop()
    assert code == 0
    assert Path(path.strip()).is_dir()


@pytest.mark.parametrize("crowd", [2, 20])
def test_one_of_many_identifies_and_fetches_and_the_others_show_its_progress(tmp_path, crowd):
    with served() as (origin, stack):
        commands = [Command(stack, tmp_path, origin) for _ in range(crowd)]
        _, waiting = sort(commands)
        waiting[0].until(lambda event: is_waiting(event) and event["done_bytes"] > 0)
        origin.rate_bytes_per_s = EASY_RATE
        assert_same_end(commands)
        assert asked(origin) == (1, 1)
        assert SIZE <= origin.bytes_served <= SIZE + ON_THE_WIRE
    assert broken_rules(tmp_path / "hub", a_repo(), finished=True) == []
    assert list(tmp_path.glob("state/**/*.owner*")) == []


def one_that_goes_on(waiting):
    """Of those who waited for one who is gone: the one that takes over; the others wait for it in turn."""
    for each in waiting:
        each.until(lambda event, each=each: is_planned(event) or each.is_told_of(waiting))
    heirs = [each for each in waiting if any(map(is_planned, each.said))]
    assert len(heirs) == 1
    for each in waiting:
        if each is not heirs[0]:
            each.waits_for(heirs[0])
    return heirs[0]


def fetching(commands):
    """Those who planned to fetch anything: who waited for one that finished plans too, and finds all in place."""
    return [each for each in commands if any(is_planned(event) and event["bytes_to_fetch"] for event in each.said)]


@pytest.mark.parametrize("crowd", [5, 12])
def test_one_of_those_who_wait_for_a_killed_process_takes_over_at_once_and_asks_nothing_again(tmp_path, crowd):
    with served() as (origin, stack):
        commands = [Command(stack, tmp_path, origin) for _ in range(crowd)]
        owner, waiting = sort(commands)
        waiting[0].until(lambda event: is_waiting(event) and event["done_bytes"] > 0)
        owner.process.kill()
        owner.ended()
        began = time.monotonic()
        heir = one_that_goes_on(waiting)
        assert time.monotonic() - began < AT_ONCE_S
        late = Command(stack, tmp_path, origin)
        late.waits_for(heir)
        origin.rate_bytes_per_s = EASY_RATE
        assert_same_end([*waiting, late])
        assert fetching([*waiting, late]) == [heir]
        assert asked(origin) == (1, 1)
        assert origin.bytes_served <= SIZE + 2 * ON_THE_WIRE
    assert broken_rules(tmp_path / "hub", a_repo(), finished=True) == []
    assert list(tmp_path.glob("state/**/*.owner*")) == []


def test_whoever_comes_in_the_moment_of_the_kill_changes_nothing_for_those_who_wait(tmp_path):
    """A newcomer may be the first to find the owner dead. It has waited for nobody, hence asks: itself, and alone."""
    with served() as (origin, stack):
        owner, waiting = sort([Command(stack, tmp_path, origin) for _ in range(3)])
        owner.process.kill()
        owner.ended()
        everybody = [*waiting, Command(stack, tmp_path, origin)]
        heir = one_that_goes_on(everybody)
        origin.rate_bytes_per_s = EASY_RATE
        assert_same_end(everybody)
        assert fetching(everybody) == [heir]
        assert asked(origin) <= (2, 2)
        assert origin.bytes_served <= SIZE + 2 * ON_THE_WIRE


def test_who_waits_can_be_interrupted_at_once_and_a_dry_run_never_waits(tmp_path):
    with served() as (origin, stack):
        commands = [Command(stack, tmp_path, origin) for _ in range(2)]
        owner, (waiting,) = sort(commands)
        assert Command(stack, tmp_path, origin, "org/name", "--dry-run").ended()[0] == 0
        assert owner.process.poll() is None
        began = time.monotonic()
        waiting.process.send_signal(signal.SIGINT)
        assert waiting.process.wait(LIMIT_S) == 130
        assert time.monotonic() - began < SOON_S
        origin.rate_bytes_per_s = EASY_RATE
        assert owner.ended()[0] == 0


def test_an_owner_that_is_interrupted_leaves_the_work_to_those_who_wait(tmp_path):
    with served() as (origin, stack):
        owner, waiting = sort([Command(stack, tmp_path, origin) for _ in range(4)])
        began = time.monotonic()
        owner.process.send_signal(signal.SIGTERM)
        assert owner.process.wait(LIMIT_S) == 143
        assert time.monotonic() - began < SOON_S
        heir = one_that_goes_on(waiting)
        origin.rate_bytes_per_s = EASY_RATE
        assert_same_end(waiting)
        assert fetching(waiting) == [heir]
        assert asked(origin) == (1, 1)
        assert origin.bytes_served <= SIZE + 2 * ON_THE_WIRE


def test_lists_that_overlap_in_opposite_order_do_not_block_each_other(tmp_path):
    """Each process may work on one repository and wait for the other, and both hold the same content."""
    repos = [a_repo("org/one"), a_repo("org/two")]
    with served(*repos) as (origin, stack):
        names = ["org/one", "org/two"]
        commands = [Command(stack, tmp_path, origin, *order) for order in (names, names[::-1], names, ["org/two"])]
        for each in commands:
            each.until(lambda event: is_planned(event) or is_waiting(event))
        origin.rate_bytes_per_s = EASY_RATE
        endings = [each.ended() for each in commands]
        assert [code for code, _ in endings] == [0, 0, 0, 0]
        assert endings[1][1].split() == endings[0][1].split()[::-1]
        assert endings[3][1].split() == endings[0][1].split()[1:]
        assert asked(origin) == (2, 2)
        assert origin.bytes_served <= 2 * (SIZE + ON_THE_WIRE)


def test_without_a_state_folder_everybody_asks_and_contents_are_still_fetched_once(tmp_path):
    (tmp_path / "state").write_text("no folder")
    with served() as (origin, stack):
        commands = [Command(stack, tmp_path, origin) for _ in range(3)]
        for each in commands:
            each.until(is_planned)
        origin.rate_bytes_per_s = EASY_RATE
        assert_same_end(commands)
        assert asked(origin) == (3, 3)
        assert origin.bytes_served <= SIZE + ON_THE_WIRE


def test_a_repository_folder_deleted_in_mid_transfer_costs_what_was_placed_and_no_byte_in_transfer(tmp_path):
    with served(rate=SIZE // 12) as (origin, stack):
        command = Command(stack, tmp_path, origin)
        command.until(lambda event: event.get("fetched_bytes", 0) > SIZE // 4)
        # At one stroke, as far as the command can see: it makes the folder anew while its old one is emptied.
        (tmp_path / "hub" / "models--org--name").rename(tmp_path / "gone")
        shutil.rmtree(tmp_path / "gone")
        origin.rate_bytes_per_s = EASY_RATE
        assert command.ended()[0] == 6, "the small files that it had placed are gone"
        assert Command(stack, tmp_path, origin).ended()[0] == 0
        assert origin.bytes_served <= SIZE + ON_THE_WIRE
    assert broken_rules(tmp_path / "hub", a_repo(), finished=True) == []
