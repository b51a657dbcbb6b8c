"""What a disk may hold after a power cut: the changes of a ``DiskLog`` up to a moment, less what was not synced.

Bytes that no sync followed arrive or not, page by page, in any order; a file may be long already and still full of
zeros. Names arrive in order on file systems with one journal (``ordered``); in the worst case each change of a name
that no sync of its folder followed arrives or not by itself.
"""

import posixpath
from collections import defaultdict
from pathlib import Path

PAGE = 4096
_NAMING = frozenset({"create", "link", "rename", "symlink", "unlink", "mkdir", "rmdir"})
_SYNCS = frozenset({"sync", "sync folder"})


def after_cut(changes, moment, folder, rng, *, ordered, kept):
    """Build in the empty ``folder`` what a cut after ``moment`` changes may leave.

    ``kept`` is the chance that something unsynced arrived: 0 is a disk that did nothing by itself.
    """
    before = changes[:moment]
    names = _names(before, rng, ordered=ordered, kept=kept)
    for path, (kind, _) in sorted(names.items()):
        place = Path(folder, path)
        if kind == "folder":
            place.mkdir(parents=True, exist_ok=True)
    contents, made = {}, {}
    for path, (kind, what) in sorted(names.items()):
        place = Path(folder, path)
        if kind == "link":
            place.symlink_to(what)
        elif kind == "file" and what in made:
            place.hardlink_to(made[what])
        elif kind == "file":
            if what not in contents:
                contents[what] = _bytes_of(before, what, rng, kept)
            place.write_bytes(contents[what])
            made[what] = place


def _names(changes, rng, *, ordered, kept):
    """Path → (kind, number or target), with what is dropped left out."""
    survive = _in_order(changes, rng, kept) if ordered else _in_any_order(changes, rng, kept)
    names = {"": ("folder", None)}
    for at, change in enumerate(changes):
        if change[0] in _NAMING and at in survive:
            _apply(names, change)
    return {path: what for path, what in names.items() if path and _reachable(names, path)}


def _in_order(changes, rng, kept):
    """Everything up to some moment not before the newest sync of anything."""
    synced = max((at for at, change in enumerate(changes) if change[0] in _SYNCS), default=0)
    rest = len(changes) - synced
    until = synced + (rest if rng.random() < kept else rng.randint(0, rest) if kept else 0)
    return range(until)


def _in_any_order(changes, rng, kept):
    survive, loose = set(), defaultdict(list)  # folder → changes that only a sync of it makes sure of
    for at, change in enumerate(changes):
        if change[0] == "sync folder":
            survive.update(loose.pop(change[1] if change[1] != "." else "", ()))
        elif change[0] in _NAMING:
            loose[posixpath.dirname(change[-1])].append(at)
    survive.update(at for each in loose.values() for at in each if rng.random() < kept)
    return survive


def _apply(names, change):
    what, *details = change
    if what in {"create", "link"}:
        names[details[1]] = ("file", details[0])
    elif what == "symlink":
        names[details[1]] = ("link", details[0])
    elif what == "mkdir":
        names[details[0]] = ("folder", None)
    elif what == "rename":
        if details[0] in names:
            names[details[1]] = names.pop(details[0])
    else:
        names.pop(details[0], None)


def _reachable(names, path):
    """True if every folder above it arrived too."""
    parent = posixpath.dirname(path)
    return names.get(parent, ("",))[0] == "folder" and (not parent or _reachable(names, parent))


def _bytes_of(changes, number, rng, kept):
    """What the file holds: all that was synced, and pages of the rest as luck has it."""
    mine = [
        (at, change) for at, change in enumerate(changes) if change[0] in {"write", "truncate"} and change[1] == number
    ]
    synced = max((at for at, change in enumerate(changes) if change[:2] == ("sync", number)), default=-1)
    data = bytearray()
    for at, change in mine:
        if at < synced:
            _write(data, *change[2:]) if change[0] == "write" else _resize(data, change[2])
    for at, change in mine:
        if at > synced:
            _maybe(data, change, rng, kept)
    return bytes(data)


def _maybe(data, change, rng, kept):
    if change[0] == "truncate":
        if rng.random() < kept:
            _resize(data, change[2])
        return
    offset, new = change[2:]
    if rng.random() < kept:  # the length arrives by itself
        _resize(data, max(len(data), offset + len(new)))
    for start in range(0, len(new), PAGE):
        if rng.random() < kept:
            _write(data, offset + start, new[start : start + PAGE])


def _write(data, offset, new):
    _resize(data, max(len(data), offset + len(new)))
    data[offset : offset + len(new)] = new


def _resize(data, size):
    del data[size:]
    data.extend(bytes(size - len(data)))
