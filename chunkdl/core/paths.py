r"""Which repository paths may become files, judged by their text alone.

A listing is written by strangers: a path that climbs out of the snapshot folder, or that means
something else to the operating system, is refused before anything is fetched. Deliberately touches
no file system: symbolic links that already stand in the way are ``assemble.pointers``' concern.

Refused everywhere: traversal, absolute, drive, UNC and device paths (read with ``/`` and with ``\``,
since a cache made here may be read on Windows), NUL and other control characters, text that is no
Unicode, parts and paths too long. Refused only where a file system cannot hold them: see
``check_for_windows`` and ``find_twins``. The first set is also what huggingface_hub 2.4 refuses to
look up, so nothing that it could load is lost.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NoReturn

from chunkdl.errors import PlacementRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

# NAME_MAX of ext4, xfs, btrfs, apfs and NTFS (there in UTF-16 units, never more than the bytes).
_PART_BYTES = 255
# Linux' PATH_MAX is 4096 with the cache root in front: half of it leaves room for any sane root.
_PATH_BYTES = 2048

# Control characters (Cc, NUL among them) and lone surrogates (Cs), which UTF-8 cannot spell.
_UNSPEAKABLE = frozenset({"Cc", "Cs"})

# Device names of DOS, reserved with any extension in every folder (Microsoft, "Naming Files, Paths, and Namespaces").
_DOS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"}
)
_WINDOWS_FORBIDDEN = frozenset('<>:"|?*\\')


def check_path(path: str) -> None:
    """Refuse a repository path that must not become a file anywhere.

    Raises:
        PlacementRefused: with the path and the reason.
    """
    if any(unicodedata.category(each) in _UNSPEAKABLE for each in path):
        _refuse(path, "holds a control character")
    if len(path.encode()) > _PATH_BYTES:
        _refuse(path, f"is longer than {_PATH_BYTES} bytes")
    for part in path.split("/"):
        _check_part(path, part)
    if any(part in {".", ".."} for part in path.replace("\\", "/").split("/")):
        _refuse(path, "climbs out of its folder")


def check_paths(paths: Iterable[str]) -> None:
    """Refuse a listing in which a path is hostile, stands twice, or is both a file and a folder.

    Raises:
        PlacementRefused: naming the first such path in order.
    """
    seen: set[str] = set()
    for path in paths:
        check_path(path)
        if path in seen:
            _refuse(path, "stands twice in the listing")
        seen.add(path)
    for path in sorted(seen):
        for folder in _folders(path):
            if folder in seen:
                _refuse(folder, f"is a file and also the folder of {path!r}")


def check_for_windows(path: str) -> None:
    """Refuse what Windows cannot hold although other systems can: devices, dots, colons, backslashes.

    Raises:
        PlacementRefused: with the path and the reason.
    """
    for part in path.split("/"):
        if part.endswith((".", " ")):
            _refuse(path, "has a part that ends in a dot or a space, which Windows drops")
        if part.split(".", 1)[0].rstrip().casefold() in _DOS_DEVICES:
            _refuse(path, f"holds {part!r}, a device name on Windows")
        if not _WINDOWS_FORBIDDEN.isdisjoint(part):
            _refuse(path, "holds a character that Windows file names cannot")


def find_twins(paths: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of paths that a file system blind to case or to Unicode composition would take for one.

    Folders count too: ``A/x`` and ``a/y`` are no twins, ``A/x`` and ``a/X`` are.
    """
    first: dict[str, str] = {}
    pairs = []
    for path in paths:
        other = first.setdefault(_blind(path), path)
        if other != path:
            pairs.append((other, path))
    return tuple(pairs)


def _check_part(path: str, part: str) -> None:
    if not part:
        _refuse(path, "is empty, absolute or has an empty part")
    if part.startswith("\\") or part[1:2] == ":":
        _refuse(path, "is an absolute, drive or network path on Windows")
    if len(part.encode()) > _PART_BYTES:
        _refuse(path, f"has a part longer than {_PART_BYTES} bytes")


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _blind(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _refuse(path: str, reason: str) -> NoReturn:
    # ascii() and the cut keep a hostile name from breaking the line, the terminal or the encoding of stderr.
    shown = ascii(path) if len(path) <= _SHOWN else f"{path[:_SHOWN]!a}..."
    raise PlacementRefused(
        f"refused the path {shown}: it {reason}",
        hint="the listing is damaged or hostile; nothing was written",
        file=shown,
    )


# Enough of a name to recognise it in a message of one line.
_SHOWN = 120
