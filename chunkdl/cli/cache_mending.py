"""Mending what ``verify`` found: the pipeline fetches what is damaged, from everybody who has it.

Decides what is asked for and in which order. What is wrong stays in place until the right content is proven.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from chunkdl.assemble.layout import RepoFolder
from chunkdl.assemble.local_folder import LocalFolder
from chunkdl.assemble.torch_destination import TorchDestination
from chunkdl.caches.checkpoints import published_at
from chunkdl.caches.proving import State
from chunkdl.caches.repairing import mendings, prepare, set_aside, uncommitted, unshown
from chunkdl.caches.seen import TORCH
from chunkdl.errors import UsageError
from chunkdl.identify.learnt import Learnt
from chunkdl.identify.references import parse_reference
from chunkdl.model import Hub
from chunkdl.pipeline.options import FetchOptions
from chunkdl.spelling import printable, spell_bytes, spell_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.caches.proving import Judged
    from chunkdl.caches.repairing import HoldsParts, Mending
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.model import Digest, Reference
    from chunkdl.progress_lines import Display
    from chunkdl.settings import Settings
    from chunkdl.transfer.receipts import Receipts


@dataclass(slots=True)
class Mended:
    """What a repair did: contents taken care of, bytes that came, lines on what failed or would be fetched."""

    count: int = 0
    bytes_fetched: int = 0
    errors: list[str] = field(default_factory=list)
    plan: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` shows it."""
        return {
            "fetches": self.count,
            "bytes_fetched": self.bytes_fetched,
            "errors": self.errors,
            "would_fetch": self.plan,
        }


class Mender:
    """Mends through the pipeline, one commit after the other."""

    def __init__(self, around: Surroundings, settings: Settings, receipts: Receipts, display: Display) -> None:
        self._settings = settings
        self._receipts = receipts
        self._display = display
        self._learnt = Learnt(settings.state_dir)
        self._fetch = around.pipeline()
        self._mended = Mended()

    async def mend(self, damage: Sequence[Judged], reference: str | None) -> Mended:
        """Fetch what is damaged; ``reference`` says what folders hold. Failures are in the result.

        Raises:
            StoreError: the disk refuses.
        """
        folders: dict[str, list[Judged]] = {}
        for each in damage:
            if each.claim.place.startswith(f"{TORCH}:"):
                await self._torch(each)
            elif each.claim.repo is None:
                folders.setdefault(each.claim.place, []).append(each)
        for mending in mendings(damage):
            await self._repo(mending)
        for folder, wrong in folders.items():
            await self._folder(LocalFolder(Path(folder)), wrong, reference or "")
        for each in unshown(damage):
            self._unshown(each)
        self._mended.errors += [
            f"{each.claim.name}: its folder names no commit, so that nobody can be asked for it: "
            f"chunkdl fetch {each.claim.place} brings one that has a name"
            for each in uncommitted(damage)
        ]
        return self._mended

    async def _torch(self, judged: Judged) -> None:
        file = judged.claim.file
        address = self._address(file)
        if address is None:
            self._mended.errors.append(f"{judged.claim.name}: nothing says where it came from: chunkdl fetch its URL")
            return
        if self._settings.offline:
            self._mended.plan.append(printable(f"would fetch: {address}, {spell_bytes(judged.size)} at most"))
            return
        wrong = [judged.claim.digest] if judged.claim.digest is not None else []
        await self._prepared(_Beside(TorchDestination(file.parent, "", self._learnt), file.name), [judged])
        await self._run(address, FetchOptions(distrusted=frozenset(wrong)), self._settings, 1)

    def _address(self, file: Path) -> str | None:
        """Where a checkpoint came from as it was then, else where torchvision publishes one of its name."""
        known = self._learnt.source(file)
        if known is None:
            return published_at(file.name)
        url, digest = known
        return f"{url}#sha256={digest.hex}&name={quote(file.name, safe='')}"

    def _unshown(self, judged: Judged) -> None:
        """Nobody is shown it, and a fetch would take it for what its name says."""
        if self._settings.offline:
            self._mended.plan.append(f"would set aside: {judged.claim.name}")
            return
        aside = set_aside(judged)
        self._mended.count += 1
        self._display.say("note", f"{judged.claim.name}: nothing shows it; set aside as {aside.name}")

    async def _repo(self, mending: Mending) -> None:
        repo = mending.damage[0].claim.repo
        assert repo is not None
        if self._plan_only(mending.reference, mending.damage):
            return
        folder = RepoFolder(repo.folder.parent, repo.folder.name)
        await self._prepared(folder, mending.damage)
        options = FetchOptions(include=mending.patterns, distrusted=mending.wrong)
        await self._run(mending.reference, options, self._settings, len(mending.damage))

    async def _folder(self, folder: LocalFolder, wrong: Sequence[Judged], reference: str) -> None:
        """By commit: files of a folder may come from several."""
        parsed = held_by_folder(reference)
        for commit in dict.fromkeys(each.claim.commit for each in wrong):
            some = [each for each in wrong if each.claim.commit == commit]
            name = _at(parsed, commit or "")
            if commit is None or self._plan_only(name, some):
                continue
            await self._prepared(folder, some)
            digests = frozenset(each.claim.digest for each in some if each.claim.digest is not None)
            patterns = tuple(pattern for each in patterns_of(some) for pattern in each)
            settings = replace(self._settings, local_dir=folder.root)
            await self._run(name, FetchOptions(include=patterns, distrusted=digests), settings, len(some))

    async def _prepared(self, folder: HoldsParts, damage: Sequence[Judged]) -> None:
        for each in damage:
            if each.state in {State.DAMAGED, State.TRUNCATED}:
                await asyncio.to_thread(prepare, folder, each, self._receipts)

    def _plan_only(self, reference: str, damage: Sequence[Judged]) -> bool:
        """Offline: say what would be fetched, and from nobody."""
        if not self._settings.offline:
            return False
        for each in damage:
            size = each.claim.size or each.size
            what = f"{each.claim.paths[0]} of {reference}"
            self._mended.plan.append(printable(f"would fetch: {what}, {spell_bytes(size)} at most"))
        return True

    async def _run(self, reference: str, options: FetchOptions, settings: Settings, count: int) -> None:
        self._display.say("start", f"fetching {spell_count(count, 'content')} of {reference} again")
        report = await self._fetch((reference,), options, settings, self._display.watch)
        self._mended.bytes_fetched += report.totals.bytes_fetched
        for each in report.results:
            if each.error is not None:
                hint = f" ({each.error.hint})" if each.error.hint else ""
                self._mended.errors.append(f"{reference}: {each.error.message}{hint}")
            else:
                self._mended.count += count


def held_by_folder(text: str) -> Reference:
    """The repository that a person says a folder holds.

    Raises:
        UsageError: ``text`` names a file by itself.
        ReferenceInvalid: it names nothing.
    """
    reference = parse_reference(text)
    if reference.hub.names_files:
        hint = "--as org/name, or --as ms:org/name"
        raise UsageError(f"{text} names a file, and a folder holds a repository", hint=hint)
    return reference


def _at(reference: Reference, commit: str) -> str:
    """What to fetch it by: the commit, or ModelScope's revision, since what a folder records is no commit there."""
    name = f"{reference.repo_type.url_prefix}{reference.repo_id}"
    if reference.hub is Hub.MODELSCOPE:
        return f"{reference.hub}:{name}@{reference.revision or reference.hub.default_revision}"
    return f"{name}@{commit}"


class _Beside:
    """A checkpoint's transfer, which lies beside it. Methods as ``HoldsParts`` describes them."""

    def __init__(self, destination: TorchDestination, name: str) -> None:
        self._destination = destination
        self._name = name

    def part(self, digest: Digest) -> Path:
        return self._destination.paths(self._name, digest).part

    def journal(self, digest: Digest) -> Path:
        return self._destination.paths(self._name, digest).journal

    def owner(self, digest: Digest) -> Path:
        return self._destination.paths(self._name, digest).owner


def patterns_of(damage: Sequence[Judged]) -> list[tuple[str, ...]]:
    """The paths of files in a folder, as patterns that match nothing else."""
    from glob import escape  # noqa: PLC0415 - one name

    return [tuple(escape(path) for path in each.claim.paths) for each in damage]
