"""How a whole listing is got out of answers that each may hold only a part of it.

Decides which folders are asked for, and when enough was asked. Deliberately knows neither URLs nor JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from chunkdl.core.paths import check_path
from chunkdl.errors import MirrorMisbehaved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chunkdl.identify.modelscope_answers import Listed
    from chunkdl.model import Mirror

    Page = Callable[[str], Awaitable[list[Listed]]]

# A listing of a model that has so many entries is cut off (modelscope-hub ``REPO_FILES_TRUNCATION_LIMIT``).
CAP_ENTRIES = 3000
# Answers in all: three quarters of a million files in full folders, or fifty thousand of a data set.
MAX_ANSWERS = 256


class Capped(Exception):
    """The server does not list everything; ``files`` is what it does."""

    def __init__(self, files: list[Listed]) -> None:
        super().__init__(f"{len(files)} files and more")
        self.files = files


class Walk:
    """One listing; ``page`` asks with a query and returns the entries."""

    def __init__(self, page: Page, mirror: Mirror) -> None:
        self._page = page
        self._mirror = mirror
        self._left = MAX_ANSWERS
        self._files: dict[str, Listed] = {}

    async def folders(self) -> list[Listed]:
        """All files: the whole at once, and where that comes back full, folder by folder.

        Raises:
            Capped: a folder alone fills an answer.
            MirrorMisbehaved: a listing without an end.
            PlacementRefused: a hostile name of a folder.
        """
        full, waiting = [], [""]
        while waiting:
            root = waiting.pop()
            if len(self._taken(await self._ask(root, recursive=True))) < CAP_ENTRIES:
                continue
            shallow = self._taken(await self._ask(root, recursive=False))
            if len(shallow) >= CAP_ENTRIES:
                full.append(root)
            waiting += reversed([each.path for each in shallow if each.is_folder and _below(each.path, root)])
        if full:
            raise Capped(self._in_order())
        return self._in_order()

    async def pages(self, entries: int) -> list[Listed]:
        """All files by pages of ``entries``; the last one is not full. Raises as ``folders``."""
        number, full = 1, True
        while full:
            self._count()
            found = self._taken(await self._page(f"Recursive=True&PageNumber={number}&PageSize={entries}"))
            number, full = number + 1, len(found) >= entries
        return self._in_order()

    async def _ask(self, root: str, *, recursive: bool) -> list[Listed]:
        self._count()
        if root:
            check_path(root)
        below = f"&Root={quote(root, safe='')}" if root else ""
        return await self._page(f"Recursive={recursive}{below}")

    def _count(self) -> None:
        if not self._left:
            name = self._mirror.name
            raise MirrorMisbehaved(f"{name} sends a listing without an end", mirror=name)
        self._left -= 1

    def _taken(self, entries: list[Listed]) -> list[Listed]:
        for each in entries:
            if not each.is_folder:
                self._files.setdefault(each.path, each)
        return entries

    def _in_order(self) -> list[Listed]:
        return [self._files[path] for path in sorted(self._files)]


def _below(path: str, root: str) -> bool:
    """False for a folder that would lead the walk back to where it is."""
    return path != root and path.startswith(f"{root}/" if root else "")
