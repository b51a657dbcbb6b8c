"""A program that runs one ``chunkdl`` command after another, each in a fork of itself: a start costs 10 ms, not 300.

Each line on stdin is a trial (JSON): ``argv``, ``environ``, ``limit_s`` and what is done to it: ``kill_at`` or
``fail_at`` (the n-th change of the disk), ``kill_at_the`` (the n-th of a name), ``record`` (a file that gets the
changes), ``jumps`` (of the clocks), ``nofile`` (descriptors), ``who`` (user, group, umask; takes root).
The answer is one line: how it ended, what it said, how many changes there were.
"""

import codecs
import errno
import json
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support import taps

taps.install()

import importlib  # noqa: E402
import pkgutil  # noqa: E402

import chunkdl  # noqa: E402
from chunkdl.core.selection_rules import rules  # noqa: E402
from tests.support.disk_log import DiskLog  # noqa: E402

HANGS = -1000  # the status of a trial that had to be ended

# What a disk that is full, or read-only, refuses; reading, removing and making room go on.
_GROWING = frozenset({"pwrite", "append", "create", "link", "symlink", "mkdir", "copy_file_range", "replace", "rename"})


class Counter:
    """Counts changes; at the n-th it kills the process or begins to fail."""

    def __init__(self, trial):
        self.calls = []
        self._kill_at = trial.get("kill_at")
        self._kill_at_the = tuple(trial.get("kill_at_the", ()))
        self._fail = trial.get("fail_at")  # {"n", "errno", "once"}

    def __call__(self, name, real, args):
        self.calls.append(name)
        number = len(self.calls)
        if number == self._kill_at or (name, self.calls.count(name)) == self._kill_at_the:
            _torn(name, real, args)
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fail and self._refuses(name, number):
            code = getattr(errno, self._fail["errno"])
            raise OSError(code, os.strerror(code))
        return real(*args)

    def _refuses(self, name, number):
        at, once, code = self._fail["n"], self._fail["once"], self._fail["errno"]
        if once:
            return number == at
        full = code in {"ENOSPC", "EDQUOT"}
        return number >= at and (name in _GROWING or not full)


def _torn(name, real, args):
    """A kill in the middle of a write leaves half of it."""
    if name in {"pwrite", "append"}:
        fd, data, *rest = args
        real(fd, memoryview(data)[: len(data) // 2], *rest)


def run(trial):
    """In the fork: one command; returns its exit code."""
    if "who" in trial:
        become(*trial["who"])
    if "nofile" in trial:
        resource.setrlimit(resource.RLIMIT_NOFILE, (trial["nofile"], trial["nofile"]))
    os.environ.update(trial["environ"])
    if "record" in trial:
        taps.hook = DiskLog(Path(trial["root"]))
    else:
        taps.hook = Counter(trial)
    taps.jump(**trial.get("jumps", {}))
    from chunkdl.cli.main import main  # noqa: PLC0415  imported before the fork

    sys.argv = ["chunkdl", *trial["argv"]]
    try:
        return main(trial["argv"])
    except SystemExit as end:
        return end.code


def become(user, group, umask):
    """Somebody else from now on, who has only ``group`` in common with others.

    The interpreter may lie where only root can read: what it would still import is imported before.
    """
    for each in ("ascii", "idna", "latin-1", "punycode"):
        codecs.lookup(each)
    rules()
    os.umask(umask)
    os.setgroups([group])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def in_fork(trial, folder):
    """Never returns."""
    os.setpgid(0, 0)
    for stream, name in ((1, "out"), (2, "err")):
        fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(fd, stream)
        os.close(fd)
    status = 99
    try:
        status = run(trial)
        hook, taps.hook = taps.hook, None
        (folder / "calls").write_text(json.dumps(getattr(hook, "calls", [])))
        if "record" in trial:
            Path(trial["record"]).write_bytes(pickle.dumps(hook.changes))
    except BaseException:  # noqa: BLE001 a fork must never go on in the loop of its parent
        import traceback  # noqa: PLC0415

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


def answered(trial):
    """Run one trial in a fork and describe its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)  # a trial may be another user's
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            in_fork(trial, folder)
        status = wait(pid, trial["limit_s"])
        texts = {each: (folder / each).read_text() for each in ("out", "err")}
        calls = json.loads((folder / "calls").read_text()) if (folder / "calls").exists() else []
        return {"status": status, **texts, "calls": calls, "took_s": time.monotonic() - began}


def wait(pid, limit_s):
    """The exit code, minus the signal, or HANGS."""
    late = []

    def end(_number, _frame):
        late.append(1)
        os.kill(pid, signal.SIGABRT)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    _, status = os.waitpid(pid, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return HANGS if late else os.waitstatus_to_exitcode(status)


def main():
    for each in pkgutil.walk_packages(chunkdl.__path__, "chunkdl."):
        if not each.name.endswith("__main__") and ".testing" not in each.name:
            importlib.import_module(each.name)
    import faulthandler  # noqa: PLC0415

    faulthandler.enable()  # a trial that hangs says where
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answered(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
