"""The outcome of a fetch as values, and as the JSON object that scripts rely on.

Decides the spelling of the machine-readable report (schema 1: keys are only ever added).
Integers are bytes, floats seconds. Deliberately does not know how anything was fetched.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chunkdl.errors import ChunkdlError
    from chunkdl.observe import Notice

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file of a result.

    ``digest`` as ``sha256:…``, ``verified`` a Strength, ``source`` network, cache or partial.
    """

    path: str
    size: int
    digest: str
    verified: str
    source: str


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """Why a reference failed: the parts of a ChunkdlError."""

    code: str
    message: str
    mirror: str | None
    file: str | None
    hint: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What selection did not fetch."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ReferenceReport:
    """One reference: where it is now, who vouched for it, every file; or the error.

    ``cause`` is the error as it was raised, for callers of the library; it is not in the JSON.
    """

    ref: str
    ok: bool
    exit_code: int
    path: str | None = None
    repo: str | None = None
    revision: str | None = None
    commit: str | None = None
    authority: str | None = None
    authenticated: bool | None = None
    files: tuple[FileReport, ...] = ()
    left_out: LeftOut = LeftOut()
    error: ErrorReport | None = None
    cause: ChunkdlError | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the run.

    ``bytes_fetched`` is what the network brought into part files, ``bytes_wasted`` what it brought in vain.
    """

    bytes: int = 0
    bytes_fetched: int = 0
    bytes_reused: int = 0
    bytes_wasted: int = 0
    wall_s: float = 0.0
    goodput_bytes_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HostReport:
    """One final data host: what it gave and how it behaved.

    ``lag``: None, or how its mirror differs from the commit. ``reason``: None, or what went wrong last, be it that
    the mirror could not be used at all (``state`` is then "unused").
    """

    host: str
    mirrors: tuple[str, ...]
    bytes: int
    leases: int
    errors: int
    state: str
    lag: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The whole run; ``exit_code`` is that of the first reference that failed, else 0."""

    results: tuple[ReferenceReport, ...]
    totals: Totals = Totals()
    hosts: tuple[HostReport, ...] = ()
    notices: tuple[Notice, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        """The first failing reference decides."""
        return next((each.exit_code for each in self.results if not each.ok), 0)

    def as_json(self) -> dict[str, Any]:
        """The object of ``--json``; described by ``fixtures/report.schema.json``."""
        results = [_result_as_json(each) for each in self.results]
        return {
            "schema": SCHEMA,
            "ok": self.exit_code == 0,
            "exit_code": self.exit_code,
            "results": results,
            "totals": asdict(self.totals),
            "hosts": [asdict(each) for each in self.hosts],
            "notices": [asdict(each) for each in self.notices],
        }


def _result_as_json(result: ReferenceReport) -> dict[str, Any]:
    # without the cause before asdict, which copies what it does not know
    said = asdict(replace(result, cause=None))
    return {key: value for key, value in said.items() if key not in {"exit_code", "cause"}}
