"""Owner files: who owns, who waits, who takes over, with every race that one process can act out."""

import errno
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from chunkdl import process_identity
from chunkdl.errors import StoreBroken, StoreDenied
from chunkdl.process_identity import Life, ProcessIdentity, life_of, this_process
from chunkdl.transfer import ownership
from chunkdl.transfer.owner_record import OwnerRecord, decode_owner, encode_owner
from chunkdl.transfer.ownership import QUIET_AFTER_S, STALE_AFTER_S, HeldElsewhere, Owned, Ownership, StaleWatch


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "blobs" / "abc.chunkdl-owner"


ME = this_process()
BOOT_ID = ME.boot.partition("/")[0]
FORMER = replace(ME, boot="another/pid:[1]")
STRANGER = replace(ME, host="node17", boot="another/pid:[1]")


def a_dead_process():
    """The identity of a process that has ended: its id may be taken again, its start time is not."""
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return replace(ME, pid=int(child.stdout), started=ME.started)


def left_behind(path, process, generation=3, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_owner(OwnerRecord(process, "left behind", generation, **more)))


def found(path):
    return decode_owner(path.read_bytes())


def names(path):
    return sorted(each.name for each in path.parent.iterdir())


def test_nobody_owns_so_we_do(path, clock):
    owned = Ownership.acquire(path, clock)
    assert isinstance(owned, Owned)
    assert (owned.generation, owned.still_mine(), owned.heir_of_silent) == (1, True, False)
    assert found(path).process == ME
    assert names(path) == [path.name]
    owned.release()
    owned.release()
    assert names(path) == []


def test_a_living_owner_is_waited_for_and_its_progress_shown(path, clock):
    owned = Ownership.acquire(path, clock)
    held = Ownership.acquire(path, clock)
    assert isinstance(held, HeldElsewhere)
    assert held.owner == f"process {os.getpid()} on {ME.host}"
    owned.publish(12345)
    clock.now += 10 * STALE_AFTER_S  # a stopped process of this host still lives
    held = held.again()
    assert held.published.done_bytes == 12345
    assert held.published.counter == 1
    owned.release()
    heir = held.again()
    assert isinstance(heir, Owned)
    assert heir.generation == 1


def test_a_dead_owner_of_this_host_is_replaced_at_once(path, clock):
    left_behind(path, a_dead_process())
    owned = Ownership.acquire(path, clock)
    assert isinstance(owned, Owned)
    assert (owned.generation, owned.heir_of_silent) == (4, False)
    assert names(path) == [path.name]


def test_a_killed_owner_is_dead_before_anybody_waits_for_it(path, clock):
    program = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        pid = int(child.stdout.readline())
        left_behind(path, replace(ME, pid=pid, started=process_identity._started(pid)))
        assert isinstance(Ownership.acquire(path, clock), HeldElsewhere)
        child.kill()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # ended, but still in the process table
        assert isinstance(Ownership.acquire(path, clock), Owned)


def test_another_process_that_got_the_same_id_is_not_the_owner(path, clock):
    left_behind(path, replace(ME, started=ME.started - 1))
    assert isinstance(Ownership.acquire(path, clock), Owned)


@pytest.mark.parametrize(
    "process",
    [
        STRANGER,
        replace(ME, boot=f"{BOOT_ID}/pid:[1]", pid=1),
        replace(ME, host="other"),
        replace(ME, boot="", started=None),
        replace(ME, started=None),
    ],
    ids=["other host", "other container", "same boot id elsewhere", "nothing known", "start unknown"],
)
def test_an_owner_that_nobody_can_look_up_is_replaced_after_silence(path, clock, process):
    left_behind(path, process)
    held = Ownership.acquire(path, clock)
    clock.now += STALE_AFTER_S - 0.1
    held = held.again()
    assert isinstance(held, HeldElsewhere)
    clock.now += 0.2
    owned = held.again()
    assert isinstance(owned, Owned)
    assert (owned.generation, owned.heir_of_silent) == (4, True)


def test_an_owner_elsewhere_that_publishes_is_never_replaced(path, clock):
    left_behind(path, STRANGER)
    held = Ownership.acquire(path, clock)
    for counter in range(10):
        clock.now += STALE_AFTER_S - 1
        left_behind(path, STRANGER, counter=counter + 1, done_bytes=counter)
        held = held.again()
        assert held.published.counter == counter + 1


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(768)])
def test_an_unreadable_owner_file_is_a_silent_owner(path, clock, content):
    path.parent.mkdir()
    path.write_bytes(content)
    held = Ownership.acquire(path, clock)
    assert held.published is None
    assert str(path) in held.owner
    clock.now += STALE_AFTER_S
    owned = held.again()
    assert (owned.generation, owned.heir_of_silent) == (1, True)


def long_ago(path, seconds=QUIET_AFTER_S + 1):
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("content", [b"", bytes(768), encode_owner(OwnerRecord(FORMER, "n", 3))])
def test_after_a_reboot_or_a_power_cut_nobody_waits_for_an_owner_file_of_before(path, clock, content):
    path.parent.mkdir()
    path.write_bytes(content)
    long_ago(path)
    owned = Ownership.acquire(path, clock)
    assert isinstance(owned, Owned)
    assert names(path) == [path.name]


@pytest.mark.parametrize("content", [b"", bytes(768), encode_owner(OwnerRecord(FORMER, "n", 3))])
def test_one_that_was_written_just_now_may_be_a_namesake_s_or_half_written_and_is_watched(path, clock, content):
    path.parent.mkdir()
    path.write_bytes(content)
    held = Ownership.acquire(path, clock)
    clock.now += QUIET_AFTER_S - 0.1
    held = held.again()
    assert isinstance(held, HeldElsewhere)
    clock.now += 0.2
    assert isinstance(held.again(), Owned)


def test_a_namesake_of_this_host_that_publishes_is_never_replaced(path, clock):
    left_behind(path, FORMER)
    held = Ownership.acquire(path, clock)
    for counter in range(5):
        clock.now += QUIET_AFTER_S - 1
        left_behind(path, FORMER, counter=counter + 1)
        held = held.again()
        assert isinstance(held, HeldElsewhere)


def test_where_a_file_s_age_cannot_be_asked_a_torn_one_is_watched(path, clock, monkeypatch):
    path.parent.mkdir()
    path.write_bytes(b"")
    long_ago(path)

    def refuse(_):
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(ownership, "now_in", refuse)
    assert isinstance(Ownership.acquire(path, clock), HeldElsewhere)


def test_who_leaves_its_work_has_an_heir_and_who_finished_has_none(path, clock):
    owned = Ownership.acquire(path, clock)
    held = Ownership.acquire(path, clock)
    owned.leave()
    heir = held.again()
    assert (heir.generation, heir.replaced, heir.heir_of_silent) == (2, owned.nonce, False)
    owned.release()
    assert heir.still_mine(), "who left has nothing to give back"
    held = Ownership.acquire(path, clock)
    heir.release()
    assert held.again().replaced is None


def test_a_replaced_owner_notices_and_can_neither_publish_nor_release(path, clock):
    stranger = Ownership(path, clock, STRANGER).claim()
    held = Ownership.acquire(path, clock)
    clock.now += STALE_AFTER_S
    heir = held.again()
    before = path.read_bytes()
    assert stranger.still_mine() is False
    stranger.publish(1)
    stranger.release()
    assert path.read_bytes() == before
    assert heir.still_mine() is True


def test_an_owner_that_writes_while_it_is_replaced_hits_nobody(path, clock):
    """It had the file open when the heir's was renamed over it."""
    stranger = Ownership(path, clock, STRANGER).claim()
    late = os.open(path, os.O_RDWR)
    held = Ownership.acquire(path, clock)
    clock.now += STALE_AFTER_S
    heir = held.again()
    os.pwrite(late, encode_owner(stranger._record), 0)
    os.close(late)
    assert heir.still_mine() is True


def test_a_deleted_owner_file_is_made_again(path, clock):
    owned = Ownership.acquire(path, clock)
    path.unlink()
    path.parent.rmdir()
    owned.publish(7)
    assert owned.still_mine() is True
    assert found(path).generation == owned.generation
    path.unlink()
    Ownership(path, clock, STRANGER).claim()
    assert owned.still_mine() is False


def test_two_who_judge_the_same_owner_dead_do_not_both_win(path, clock, monkeypatch):
    """The second has judged, and wakes up at each step of the first's take-over."""
    for wake_up in range(1, 6):
        left_behind(path, a_dead_process())
        second = Ownership(path, clock, STRANGER)
        outcome = []
        calls = {"seen": 0}
        real = ownership._create

        def racing(target, record, calls=calls, real=real, outcome=outcome, wake_up=wake_up):
            calls["seen"] += 1
            if calls["seen"] == wake_up:
                monkeypatch.setattr(ownership, "_create", real)
                outcome.append(Ownership.acquire(path, clock))
            return real(target, record)

        monkeypatch.setattr(ownership, "_create", racing)
        monkeypatch.setattr(ownership, "life_of", lambda other, me: Life.DEAD if other.pid != ME.pid else Life.ALIVE)
        outcome.append(second.claim())
        monkeypatch.undo()
        owners = [each for each in outcome if isinstance(each, Owned) and each.still_mine()]
        assert len(owners) == 1
        path.unlink()
        assert names(path) == []


def test_one_who_died_while_taking_over_is_passed_by(path, clock):
    dead = a_dead_process()
    left_behind(path, dead, generation=3)
    for number in (4, 5):
        left_behind(path.with_name(f"{path.name}.{number}"), dead, generation=number)
    owned = Ownership.acquire(path, clock)
    assert owned.generation == 6
    assert names(path) == [path.name]


def test_one_who_is_taking_over_right_now_is_waited_for(path, clock):
    left_behind(path, a_dead_process(), generation=3)
    left_behind(path.with_name(f"{path.name}.4"), ME, generation=4, done_bytes=5)
    held = Ownership.acquire(path, clock)
    assert isinstance(held, HeldElsewhere)
    assert held.published.process == ME
    left_behind(path.with_name(f"{path.name}.4"), STRANGER, generation=4)
    held = held.again()
    assert isinstance(held, HeldElsewhere)
    clock.now += STALE_AFTER_S
    assert held.again().generation == 5


def test_a_right_that_disappears_is_no_error(path, clock, monkeypatch):
    left_behind(path, a_dead_process(), generation=3)
    real = ownership._read
    looked = []

    def clears_rights(target):
        data = real(target)
        if len(looked) == 1:
            path.with_name(f"{path.name}.4").unlink()
        looked.append(target)
        return data

    monkeypatch.setattr(ownership, "_read", clears_rights)
    owned = Ownership.acquire(path, clock)
    assert isinstance(owned, Owned)
    assert owned.still_mine()


def test_a_file_that_never_settles_is_an_error_with_a_hint(path, clock, monkeypatch):
    monkeypatch.setattr(ownership, "_create", lambda *_: False)
    with pytest.raises(StoreBroken, match="cannot settle") as caught:
        Ownership.acquire(path, clock)
    assert caught.value.hint


def test_without_hard_links_the_file_is_made_in_place(path):
    path.parent.mkdir()

    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "no links")

    record = OwnerRecord(ME, "n", 1)
    assert ownership._create(path, record, link=refuse) is True
    assert ownership._create(path, replace(record, generation=2), link=refuse) is False
    assert found(path) == record
    assert names(path) == [path.name]


def test_a_link_whose_answer_was_lost_counts_as_made(path):
    path.parent.mkdir()

    def made_but_repeated(src, dst):
        os.link(src, dst)
        raise FileExistsError(errno.EEXIST, "exists")

    assert ownership._create(path, OwnerRecord(ME, "n", 1), link=made_but_repeated) is True


@pytest.mark.parametrize(("number", "kind"), [(errno.EROFS, StoreDenied), (errno.EIO, StoreBroken)])
def test_where_no_owner_file_can_be_made_the_store_says_so(path, clock, monkeypatch, number, kind):
    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(ownership.disk, "create_new", refuse)
    with pytest.raises(kind, match="chunkdl-owner"):
        Ownership.acquire(path, clock)


def test_an_owner_file_that_is_a_link_is_refused(path, clock):
    path.parent.mkdir()
    path.symlink_to("elsewhere")
    with pytest.raises(StoreBroken, match="symbolic link"):
        Ownership.acquire(path, clock)


def test_a_watch_counts_only_its_own_clock_and_starts_over_at_each_change():
    watch = StaleWatch()
    assert watch.observe(b"1", 100.0, STALE_AFTER_S) is False
    assert watch.observe(b"1", 129.9, STALE_AFTER_S) is False
    assert watch.observe(b"2", 130.0, STALE_AFTER_S) is False
    assert watch.observe(b"2", 159.9, STALE_AFTER_S) is False
    assert watch.observe(b"2", 160.0, STALE_AFTER_S) is True


def test_life_of_processes():
    assert life_of(ME, ME) is Life.ALIVE
    assert life_of(replace(ME, started=ME.started + 1), ME) is Life.DEAD
    assert life_of(a_dead_process(), ME) is Life.DEAD
    assert life_of(replace(ME, pid=1 << 70), ME) is Life.DEAD
    assert life_of(STRANGER, ME) is Life.UNKNOWN
    assert life_of(FORMER, ME) is Life.FORMER
    assert life_of(replace(ME, boot=f"{BOOT_ID}/pid:[1]"), ME) is Life.UNKNOWN, "another container"
    nowhere = ProcessIdentity("mac", "", 1, None)
    assert life_of(nowhere, nowhere) is Life.UNKNOWN


def test_a_stamp_in_a_file_name_tells_whether_its_process_lives():
    assert process_identity.life_of_stamped(process_identity.stamp()) is Life.ALIVE
    where = process_identity.stamp().partition("-")[0]
    dead = a_dead_process()
    assert process_identity.life_of_stamped(f"{where}-{dead.pid}-{dead.started}") is Life.DEAD
    assert process_identity.life_of_stamped(f"{where}-{ME.pid}-{ME.started + 1}") is Life.DEAD
    for foreign in (f"00000000-{ME.pid}-{ME.started}", where, f"{where}-", f"{where}-x-1", f"{where}-1", ""):
        assert process_identity.life_of_stamped(foreign) is Life.UNKNOWN
