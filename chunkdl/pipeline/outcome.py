"""What became of a run, as the values of ``chunkdl.report``.

Decides how stages spell their results: nothing here fetches, places or prints.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.http.redirects import host_of
from chunkdl.model import AuthorityKind, Strength
from chunkdl.report import ErrorReport, FileReport, HostReport, LeftOut, ReferenceReport, Report, Totals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from chunkdl.core.host_view import HostView
    from chunkdl.core.planner import Plan
    from chunkdl.errors import ChunkdlError
    from chunkdl.model import Digest, Reference, RemoteFile, Verified
    from chunkdl.pipeline.session import Session


def failed(text: str, error: ChunkdlError) -> ReferenceReport:
    """A reference that ended in an error."""
    parts = ErrorReport(error.code, error.message, error.mirror, error.file, error.hint)
    return ReferenceReport(text, ok=False, exit_code=error.exit_code, error=parts, cause=error)


def strength_of(digest: Digest, came_from: str, proofs: Mapping[Digest, Verified]) -> Strength:
    """What this run proved of a content. One that was here, and that we did not hash, is known by name and size."""
    return digest.strength if came_from != "cache" or digest in proofs else Strength.SIZE


def placed(
    text: str, plan: Plan, path: Path, came_from: Mapping[str, str], proofs: Mapping[Digest, Verified]
) -> ReferenceReport:
    """A reference that is where loaders look; ``came_from`` maps a path to network, partial or cache.

    ``proofs`` say by a listing's digest what the bytes turned out to be, where that digest says less.
    """
    sources = [(each, came_from[each.path]) for each in plan.chosen]
    files = [_file(each, strength_of(each.digest, source, proofs), source) for each, source in sources]
    whole = {each.path: proofs[each.digest].digest for each in plan.chosen if each.digest in proofs}
    files = [replace(each, digest=str(whole.get(each.path, each.digest))) for each in files]
    return _success(text, plan, str(path), files)


def planned(text: str, plan: Plan) -> ReferenceReport:
    """A dry run: what each file would come from, and no path."""
    source = {
        path: "network" if content.pending and not content.claimed else "partial" if content.claimed else "cache"
        for content in plan.contents
        for path in content.paths
    }
    return _success(text, plan, None, [_file(each, each.digest.strength, source[each.path]) for each in plan.chosen])


def found_offline(
    text: str, reference: Reference, commit: str, files: Sequence[RemoteFile], path: Path | None
) -> ReferenceReport:
    """A reference that this disk holds, asked for without a network; no path on a dry run."""
    return ReferenceReport(
        text,
        ok=True,
        exit_code=0,
        path=None if path is None else str(path),
        repo=reference.repo_id,
        revision=(reference.revision or reference.hub.default_revision) if commit else None,
        commit=commit or None,
        authority=AuthorityKind.LAST_KNOWN.value,
        authenticated=False,
        files=tuple(_file(each, Strength.SIZE, "cache") for each in files),
    )


def _success(text: str, plan: Plan, path: str | None, files: Sequence[FileReport]) -> ReferenceReport:
    artifact = plan.artifact
    return ReferenceReport(
        text,
        ok=True,
        exit_code=0,
        path=path,
        repo=artifact.reference.repo_id,
        revision=(artifact.reference.revision or "main") if artifact.commit else None,
        commit=artifact.commit or None,
        authority=artifact.authority.kind.value,
        authenticated=artifact.authority.authenticated,
        files=tuple(files),
        left_out=LeftOut(len(plan.left_out), sum(each.size for each in plan.left_out)),
    )


def _file(file: RemoteFile, strength: Strength, source: str) -> FileReport:
    return FileReport(file.path, file.size, str(file.digest), strength.value, source)


def summed(results: Sequence[ReferenceReport], session: Session, wall_s: float) -> Report:
    """The whole run. Goodput counts what the network brought and was kept."""
    engine = session.engine
    progress = engine.progress()
    total = sum(each.size for result in results for each in result.files)
    totals = Totals(
        bytes=total,
        bytes_fetched=progress.fetched_bytes,
        bytes_reused=max(0, total - progress.fetched_bytes),
        bytes_wasted=engine.wasted_bytes + engine.scheduler.wasted_bytes,
        wall_s=round(wall_s, 3),
        goodput_bytes_per_s=round(progress.fetched_bytes / wall_s, 1) if wall_s > 0 else 0.0,
    )
    return Report(tuple(results), totals, _hosts(session), tuple(session.notices))


def of_call(result: ReferenceReport, session: Session, wall_s: float, fetched_bytes: int) -> Report:
    """One call of many over one session, which brought ``fetched_bytes``; the hosts are those of all calls."""
    total = sum(each.size for each in result.files)
    rate = round(fetched_bytes / wall_s, 1) if wall_s > 0 else 0.0
    reused = max(0, total - fetched_bytes)
    totals = Totals(total, fetched_bytes, reused, wall_s=round(wall_s, 3), goodput_bytes_per_s=rate)
    return Report((result,), totals, _hosts(session), tuple(session.notices))


def _hosts(session: Session) -> tuple[HostReport, ...]:
    """Every data host that was asked for bytes, and the mirrors that could not even be asked for them."""
    asked = [_host(each, session.lag) for each in session.engine.scheduler.hosts()]
    met = {name for each in asked for name in each.mirrors}
    unused = [
        HostReport(host_of(each.url), (each.name,), 0, 0, 0, "unused", lag, lag)
        for each in session.settings.mirrors
        if each.name not in met and (lag := session.lag.get(each.name))
    ]
    return (*asked, *unused)


def _host(host: HostView, lag: Mapping[str, str]) -> HostReport:
    mirrors = tuple(host.mirrors)
    behind = next((lag[name] for name in mirrors if name in lag), None)
    state = "failing" if host.failing and host.state == "idle" else host.state
    return HostReport(host.host, mirrors, host.bytes, host.leases, host.errors, state, behind, host.reason or None)
