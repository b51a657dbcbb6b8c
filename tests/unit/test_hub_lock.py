import os
import stat
import subprocess
import sys

from chunkdl.assemble.hub_lock import HubLock, is_held

# What a second process does when huggingface_hub is told not to wait.
TRY = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def taken(path):
    """True if another process could not take the lock."""
    return subprocess.run([sys.executable, "-c", TRY, path], check=False, stderr=subprocess.DEVNULL).returncode != 0


def test_the_lock_is_the_hubs_flock_and_lets_go(tmp_path):
    path = tmp_path / ".locks" / "models--a--b" / "x.lock"
    lock = HubLock(path)
    assert lock.acquire()
    assert lock.held
    assert taken(path)
    assert lock.acquire()
    lock.release()
    lock.release()
    assert not lock.held
    assert path.exists()
    assert not taken(path)


def test_a_group_may_wait_for_us_whatever_the_umask(tmp_path):
    old = os.umask(0o077)
    try:
        with HubLock(tmp_path / "x.lock"):
            assert stat.S_IMODE((tmp_path / "x.lock").stat().st_mode) == 0o664
    finally:
        os.umask(old)


def test_a_lock_that_another_holds_is_gone_without(tmp_path):
    path = tmp_path / "x.lock"
    with HubLock(path) as first, HubLock(path) as second:
        assert first.held
        assert not second.held
        assert not second.acquire(wait_s=0.01)
    with HubLock(path) as third:
        assert third.held


def test_where_no_lock_can_be_made_we_go_on_without(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with HubLock(tmp_path / "file" / "x.lock") as lock:
        assert not lock.held


def test_a_link_under_the_locks_name_is_not_followed(tmp_path):
    (tmp_path / "x.lock").symlink_to(tmp_path / "elsewhere")
    with HubLock(tmp_path / "x.lock") as lock:
        assert not lock.held
    assert not (tmp_path / "elsewhere").exists()


def test_whether_somebody_holds_a_lock_is_told_without_making_one(tmp_path):
    path = tmp_path / "x.lock"
    assert not is_held(path)
    assert not path.exists()
    lock = HubLock(path)
    assert lock.acquire()
    assert is_held(path)
    lock.release()
    assert not is_held(path)
