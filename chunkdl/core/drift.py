"""What has changed between two listings of one selection: for people who decide whether to follow.

Decides what counts as a change: another path, another content. Digits of which one digest has more than the other
are no change as long as they agree. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.model import DigestAlgorithm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.model import RemoteFile


@dataclass(frozen=True, slots=True)
class Drift:
    """Paths that differ, sorted."""

    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """True if anything differs."""
        return bool(self.changed or self.added or self.removed)

    def lines(self) -> list[str]:
        """One line a path."""
        named = (("changed", self.changed), ("added", self.added), ("removed", self.removed))
        return [f"{what} {path}" for what, paths in named for path in paths]


def drift(before: Sequence[RemoteFile], after: Sequence[RemoteFile]) -> Drift:
    """How ``after`` differs from ``before``."""
    old, new = ({each.path: each for each in files} for files in (before, after))
    return Drift(
        changed=tuple(sorted(path for path in old.keys() & new.keys() if not agree(old[path], new[path]))),
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
    )


def agree(one: RemoteFile, other: RemoteFile) -> bool:
    """True if both may be the same content; a whole digest says all of it, its first digits and the length less."""
    if one.digest == other.digest:
        return True
    less, more = sorted((one.digest, other.digest), key=lambda each: each.names_content)
    comparable = not less.names_content and DigestAlgorithm.GIT_SHA1 is not more.algorithm
    return comparable and one.size == other.size and (less.fits(more.hex) or more.fits(less.hex))
