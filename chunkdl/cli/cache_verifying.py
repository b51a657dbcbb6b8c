"""``chunkdl verify``: what is to be proven, how it is told, and what is fetched to mend it.

Decides the order of output and the exit code. Every way a run can end is one answer, so that ``--json`` prints
exactly one object whatever happened.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal

from chunkdl.caches.claiming import tree_of
from chunkdl.caches.proving import DAMAGE, State
from chunkdl.caches.seen import TORCH
from chunkdl.caches.subjects import Subjects
from chunkdl.cli.answering import Answer, answer_stoppably
from chunkdl.cli.cache_mending import Mended, Mender, held_by_folder
from chunkdl.cli.cache_proving import prove
from chunkdl.cli.cache_sight import look
from chunkdl.cli.display import open_display
from chunkdl.cli.empty_answers import EMPTY
from chunkdl.cli.running import run_or_raise
from chunkdl.errors import UsageError
from chunkdl.identify.known import Known
from chunkdl.identify.learnt import Learnt
from chunkdl.model import Reference, RepoType, is_commit
from chunkdl.observe import Notice
from chunkdl.settings import Flags, load_settings
from chunkdl.spelling import printable, spell_bytes, spell_count
from chunkdl.transfer.receipts import Receipts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkdl.caches.claiming import Listings
    from chunkdl.caches.proving import Claim, Judged
    from chunkdl.caches.seen import CachesSeen, RepoSeen, RevisionSeen
    from chunkdl.cli.stopping import Stopping
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.model import Digest, RemoteFile
    from chunkdl.settings import Settings

_DAMAGED_EXIT_CODE, _UNREADABLE_EXIT_CODE = 5, 6
_SHOWN_UNPROVEN = 5
# Worst first, as they are printed.
_ORDER = (
    State.DAMAGED,
    State.TRUNCATED,
    State.MISSING,
    State.MISLINKED,
    State.UNREADABLE,
    State.EDITED,
    State.UNPROVEN,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyWishes:
    """What was typed; names are those of the options."""

    targets: tuple[str, ...] = ()
    cache_dir: str | None = None
    repair: bool = False
    reference: str | None = None
    offline: bool | None = None
    mirrors: tuple[str, ...] = ()
    add_mirrors: tuple[str, ...] = ()
    no_mirrors: bool = False
    origin: str | None = None
    as_json: bool = False
    quiet: bool = False
    progress: Literal["auto", "bar", "plain", "json", "none"] = "auto"

    def flags(self) -> Flags:
        """What concerns settings."""
        return Flags(
            origin=self.origin,
            mirrors=self.mirrors,
            add_mirrors=self.add_mirrors,
            no_mirrors=self.no_mirrors,
            cache_dir=Path(self.cache_dir) if self.cache_dir else None,
            offline=self.offline,
        )


@dataclass(slots=True)
class _Found:
    judged: list[Judged]
    bytes_read: int
    mended_from: tuple[Judged, ...] = ()
    mended: Mended | None = None

    @property
    def damage(self) -> list[Judged]:
        return [each for each in self.judged if each.state in DAMAGE]


def verify_and_tell(wishes: VerifyWishes, around: Surroundings) -> int:
    """Prove, mend if asked to, tell; the exit code."""
    return answer_stoppably(
        around,
        _Session(wishes, around).run,
        as_json=wishes.as_json,
        quiet=wishes.quiet,
        empty=EMPTY["verify"],
        interrupted="interrupted; nothing was changed that was not proven",
    )


class _Session:
    """One command."""

    def __init__(self, wishes: VerifyWishes, around: Surroundings) -> None:
        self._wishes = wishes
        self._around = around
        self._display = open_display(wishes.progress, around, quiet=wishes.quiet)
        self._notices: list[Notice] = []

    def run(self, stopping: Stopping) -> Answer:
        try:
            found = run_or_raise(self._work, stopping, self._display.tick)
        finally:
            self._display.close()
        return self._answer(found)

    async def _work(self) -> _Found:
        settings = load_settings(self._around.environ, None, self._wishes.flags(), self._around.folder)
        settings = replace(settings, local_dir=None)
        self._notices += settings.notices
        seen = look(settings)
        listings = await _remembered(seen, settings)
        claims = self._subjects(seen, listings, settings).claims(self._wishes.targets)
        self._check(claims)
        self._display.say("start", f"proving {spell_count(len(claims), 'content')}")
        receipts = Receipts(settings.state_dir)
        proving = await prove(claims, receipts, self._display.watch)
        found = _Found(proving.judged, proving.done_bytes)
        if self._wishes.repair and found.damage:
            mender = Mender(self._around, settings, receipts, self._display)
            found.mended = await mender.mend(found.damage, self._wishes.reference)
            if not settings.offline:
                before = found.damage
                found.judged = await self._again(found, settings, listings, receipts)
                left = {each.claim.name for each in found.damage}
                found.mended_from = tuple(each for each in before if each.claim.name not in left)
        return found

    def _subjects(self, seen: CachesSeen, listings: Listings, settings: Settings) -> Subjects:
        learnt = Learnt(settings.state_dir)

        def digest_of(path: Path) -> Digest | None:
            hashed = learnt.hashed(path)
            return hashed.digest if hashed is not None else None

        return Subjects(seen, listings, digest_of)

    def _check(self, claims: Sequence[Claim]) -> None:
        """Before gigabytes are read for nothing: a folder cannot be mended by itself."""
        folders = {each.place for each in claims if each.repo is None and not each.place.startswith("torch:")}
        if self._wishes.reference is not None:
            held_by_folder(self._wishes.reference)
        elif self._wishes.repair and folders:
            hint = "name it: --as REF, such as --as org/name"
            raise UsageError(
                f"{min(folders)} does not say which repository it holds, so it cannot be mended", hint=hint
            )

    async def _again(self, found: _Found, settings: Settings, listings: Listings, receipts: Receipts) -> list[Judged]:
        """What was damaged is proven once more, as it stands now."""
        names = {(each.claim.place, each.claim.file) for each in found.damage}
        claims = self._subjects(look(settings), listings, settings).claims(self._wishes.targets)
        fresh = [each for each in claims if (each.place, each.file) in names]
        proving = await prove(fresh, receipts, self._display.watch)
        found.bytes_read += proving.done_bytes
        return [each for each in found.judged if each.state not in DAMAGE] + proving.judged

    # --- telling --------------------------------------------------------------------------------------------------

    def _answer(self, found: _Found) -> Answer:
        counts = Counter(each.state.value for each in found.judged)
        findings = sorted((each for each in found.judged if each.state is not State.OK), key=_rank)
        values = {
            "checked": {"files": len(found.judged), "bytes": found.bytes_read},
            "counts": dict(counts),
            "findings": [_finding_json(each) for each in findings],
            "mended": [_finding_json(each) for each in found.mended_from],
            "repair": found.mended.as_json() if found.mended is not None else None,
        }
        errors = found.mended.errors if found.mended is not None else []
        notices = (*self._notices, *(Notice("repair", each) for each in errors))
        mended = [printable(f"mended: {each.claim.name} (it was {each.state})") for each in found.mended_from]
        lines = [*_lines(findings), *mended, *(found.mended.plan if found.mended is not None else ())]
        return Answer(values, lines, notices, _exit_code(found), tuple(self._notes(found, counts)))

    def _notes(self, found: _Found, counts: Counter[str]) -> Iterator[str]:
        if self._wishes.quiet:
            return
        if found.mended is not None and found.mended_from:
            count = spell_count(len(found.mended_from), "content")
            yield f"{count} mended with {spell_bytes(found.mended.bytes_fetched)} from the network"
        said = [f"{count} {state}" for state, count in sorted(counts.items()) if state != State.OK]
        yield f"{counts[State.OK]} right ({spell_bytes(found.bytes_read)} read)" + "".join(f", {each}" for each in said)
        torchs = f"{TORCH}:"
        damage = [each for each in found.damage if each.claim.repo is not None or each.claim.place.startswith(torchs)]
        if damage and not self._wishes.repair:
            places = " ".join(dict.fromkeys(each.claim.place for each in damage))
            yield f"to mend it: chunkdl verify {places} --repair"
        for place in dict.fromkeys(each.claim.place for each in found.judged if each.state is State.EDITED):
            yield f"edited files stay; the published ones instead: chunkdl fetch REF --local-dir {quote(place)}"


def _exit_code(found: _Found) -> int:
    if found.damage:
        return _DAMAGED_EXIT_CODE
    return _UNREADABLE_EXIT_CODE if any(each.state is State.UNREADABLE for each in found.judged) else 0


def _rank(judged: Judged) -> tuple[int, str]:
    return _ORDER.index(judged.state), judged.claim.name


def _lines(findings: Sequence[Judged]) -> Iterator[str]:
    unproven = 0
    for each in findings:
        unproven += each.state is State.UNPROVEN
        if unproven <= _SHOWN_UNPROVEN:
            why = f" ({each.note})" if each.note else ""
            yield printable(f"{each.state}: {each.claim.name}{why}")
    if unproven > _SHOWN_UNPROVEN:
        yield f"unproven: {unproven - _SHOWN_UNPROVEN} more"


def _finding_json(judged: Judged) -> dict[str, Any]:
    claim = judged.claim
    return {
        "state": judged.state.value,
        "place": claim.place,
        "commit": claim.commit,
        "paths": list(claim.paths),
        "file": str(claim.file),
        "digest": str(claim.digest) if claim.digest is not None else None,
        "found": judged.found or None,
        "bytes": judged.size,
        "note": judged.note,
    }


async def _remembered(seen: CachesSeen, settings: Settings) -> Listings:
    """Listings in the cache, and for real files, whose names say nothing, those in the state folder."""
    known, found = Known.of(settings), dict[tuple[str, str], "tuple[RemoteFile, ...]"]()
    for repo in seen.repos:
        for revision in repo.revisions:
            if _needs_listing(repo, revision):
                reference = Reference(repo.id, repo.repo_id, RepoType(repo.kind), revision.commit)
                earlier = await known.last(reference)
                if earlier is not None:
                    found[repo.id, revision.commit] = earlier.artifact.files

    def listing(repo: RepoSeen, commit: str) -> tuple[RemoteFile, ...] | None:
        return tree_of(repo, commit) or found.get((repo.id, commit))

    return listing


def _needs_listing(repo: RepoSeen, revision: RevisionSeen) -> bool:
    real = any(each.blob is None for each in revision.entries)
    known = is_commit(revision.commit) and repo.kind in {*RepoType}
    return real and known and tree_of(repo, revision.commit) is None
