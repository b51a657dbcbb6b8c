"""The calls with which a process changes its disk, and its clocks, tapped: counted, failed, recorded, killed at.

``install`` must run before anything of chunkdl, aiofiles or pathlib's users is imported: modules keep the
functions that they find. Until ``hook`` is set every tap is a plain call.
"""

import builtins
import functools
import io
import math
import os
import threading
import time

hook = None  # hook(name, real, args) → what the call returns; one call at a time
turn = threading.RLock()
_jumps = {"wall": [], "monotonic": []}  # (after seconds of real time, seconds added)
_since = 0.0
_from_first = None  # the call that begins to count, None once it was made
_real_monotonic, _real_time = time.monotonic, time.time

_PLAIN = ("pwrite", "ftruncate", "fsync", "fdatasync", "replace", "rename", "link", "symlink", "unlink", "remove")
_PLAIN += ("mkdir", "rmdir", "copy_file_range")


def call(name, real, *args, **named):
    """Through the hook, if there is one."""
    global _since, _from_first
    if name == _from_first:
        _since, _from_first = _real_monotonic(), None
    if hook is None:
        return real(*args, **named)
    with turn:
        return hook(name, functools.partial(real, **named), args)


class TappedFile(io.FileIO):
    """A file that ``open`` makes to be written: the journal, and the state files."""

    def write(self, data):
        write = super().write
        return call("append", lambda _, given: write(given), self.fileno(), data)

    def truncate(self, size=None):
        truncate = super().truncate
        return call("truncate", lambda _, given: truncate(given), self.fileno(), size)


def _open(path, mode="r", buffering=-1, encoding=None, **more):
    if hook is None or not set(mode) & set("wxa") or (buffering and "+" in mode):
        return io.open(path, mode, buffering, encoding, **more)  # noqa: UP020  ``open`` is this function now
    opener = more.get("opener") or (lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o666))
    raw = TappedFile(path, mode.replace("b", "").replace("t", ""), opener=opener)
    if buffering == 0:
        return raw
    return io.BufferedWriter(raw) if "b" in mode else io.TextIOWrapper(io.BufferedWriter(raw), encoding)


def _tap(name):
    real = getattr(os, name)

    @functools.wraps(real)
    def tapped(*args, **named):
        return call(name, real, *args, **named)

    setattr(os, name, tapped)


def _tap_open():
    real = os.open

    @functools.wraps(real)
    def tapped(path, flags, mode=0o777, *, dir_fd=None):
        if flags & os.O_CREAT:
            return call("create", real, path, flags, mode)
        return real(path, flags, mode, dir_fd=dir_fd)

    os.open = tapped


def _jumped(name, real):
    def clock():
        now = _real_monotonic() - _since
        return real() + sum(by for after, by in _jumps[name] if now >= after)

    return clock


def jump(wall=(), monotonic=(), from_first=None):
    """The clocks jump: pairs of (after seconds, by seconds), from now or from the first call named ``from_first``."""
    global _since, _from_first
    _since, _from_first = math.inf if from_first else _real_monotonic(), from_first
    _jumps.update(wall=list(wall), monotonic=list(monotonic))


def install():
    """Tap everything; to be called once, first of all."""
    for name in _PLAIN:
        _tap(name)
    _tap_open()
    time.time, time.monotonic = _jumped("wall", _real_time), _jumped("monotonic", _real_monotonic)
    builtins.open = _open
