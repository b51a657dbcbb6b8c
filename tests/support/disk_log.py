"""What a process did to its disk, in order, so that a power cut can be imagined at any point of it.

Files are known by a number of their own: a rename does not change it, and inode numbers come again.
Paths are relative to the root; what happens outside of it is no concern.
"""

import errno
import fcntl
import os
import stat
from pathlib import Path


class DiskLog:
    """A hook for ``taps`` that lets every call through and writes down what it changed."""

    def __init__(self, root):
        self.calls = []
        self.changes = []
        self._root = root
        self._files = {}  # inode → our number
        self._last = 0
        fcntl.ioctl = _no_clones
        for path in sorted(root.rglob("*")):
            self._found(path)

    def _found(self, path):
        """Something that was there before: as good as synced."""
        name = self._name(path)
        if path.is_symlink():
            self._note("symlink", str(path.readlink()), name)
        elif path.is_dir():
            self._note("mkdir", name)
        elif (inode := path.stat().st_ino) in self._files:
            self._note("link", self._files[inode], name)
        else:
            number = self._new(inode)
            self._note("create", number, name)
            self._note("write", number, 0, path.read_bytes())
            self._note("sync", number)

    def __call__(self, name, real, args):
        self.calls.append(name)
        before = self._before(name, args)
        result = real(*args)
        if before is not None or name != "create":
            getattr(self, f"_{name}")(result, before, *args)
        return result

    def _before(self, name, args):
        """What has to be known from before the call: whether a file is new, and what is renamed or linked."""
        if name == "create":
            return None if os.path.lexists(args[0]) else args[0]
        if name in {"replace", "rename", "link"}:
            return os.lstat(args[0])
        if name == "append":
            return os.fstat(args[0]).st_size
        return None

    def _name(self, path):
        path = Path.cwd() / path  # not resolved: links are what is written down
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else None

    def _new(self, inode):
        self._last += 1
        self._files[inode] = self._last
        return self._last

    def _number(self, fd):
        return self._files.get(os.fstat(fd).st_ino)

    def _note(self, what, *details):
        if None not in details:
            self.changes.append((what, *details))

    def _create(self, fd, _before, path, *_):
        name = self._name(path)
        if name is not None:
            self._note("create", self._new(os.fstat(fd).st_ino), name)

    def _pwrite(self, written, _before, fd, data, offset):
        self._note("write", self._number(fd), offset, bytes(memoryview(data)[:written]))

    def _append(self, written, size, fd, data):
        self._note("write", self._number(fd), size, bytes(memoryview(data)[:written]))

    def _copy_file_range(self, copied, _before, _src, dst, _count, _at, to):
        self._note("write", self._number(dst), to, os.pread(dst, copied, to))

    def _ftruncate(self, _result, _before, fd, size):
        self._note("truncate", self._number(fd), size)

    def _truncate(self, _result, _before, fd, size):
        self._note("truncate", self._number(fd), size)

    def _fsync(self, _result, _before, fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            self._note("sync folder", self._name(Path(f"/proc/self/fd/{fd}").readlink()))
        else:
            self._note("sync", self._number(fd))

    def _fdatasync(self, _result, _before, fd):
        self._note("sync", self._number(fd))

    def _link(self, _result, before, _src, dst, **_):
        self._note("link", self._files.get(before.st_ino), self._name(dst))

    def _replace(self, _result, _before, src, dst):
        self._note("rename", self._name(src), self._name(dst))

    _rename = _replace

    def _symlink(self, _result, _before, target, path, *_):
        self._note("symlink", str(target), self._name(path))

    def _unlink(self, _result, _before, path):
        self._note("unlink", self._name(path))

    _remove = _unlink

    def _mkdir(self, _result, _before, path, *_):
        self._note("mkdir", self._name(path))

    def _rmdir(self, _result, _before, path):
        self._note("rmdir", self._name(path))


def _no_clones(*_):
    """A clone would be a write that the log does not see."""
    raise OSError(errno.ENOTSUP, "no reflinks while recording")
