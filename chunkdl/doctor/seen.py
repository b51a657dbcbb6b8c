"""What the probes saw, and what is made of it: plain values between looking and judging.

Nothing here holds a secret: tokens are named by where they come from, proxies by their address.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters: worth knowing, worth a repair, or in the way of a fetch."""

    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person should know, and what to do about it.

    Args:
        level: how much it matters.
        code: stable for scripts.
        subject: the setting, mirror or folder that it is about.
        message: one line.
        advice: the next step, one line; empty only for a note.
        exit_code: what a fetch would end with because of it; 0 if it would go on.
    """

    level: Level
    code: str
    subject: str
    message: str
    advice: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way to a source: ``dns``, ``tcp``, ``proxy``, ``tls``, ``metadata``, ``range``, ``token``.

    ``listing`` stands for ``metadata`` with servers that are asked by content.

    ``seconds`` it took. ``detail`` is what it brought, or why it failed; ``code`` then says which failure,
    ``hint`` what whoever raised it advises, ``exit_code`` what it means to a fetch from this source alone.
    """

    name: str
    ok: bool
    seconds: float
    detail: str = ""
    code: str = ""
    hint: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """One source as far as it could be followed; ``steps`` end at the first that failed.

    Args:
        name: of the mirror.
        url: its base URL.
        is_origin: whether its listing is believed.
        asked: the repository that it was asked about.
        proxy: its address, without credentials; empty for a direct connection.
        addresses: of its name, or of the proxy's.
        skew_s: this machine's clock minus the server's; None if it told none.
        final_host: where bytes came from in the end.
        ranged: whether it honours ranges; None if that could not be tried.
    """

    name: str
    url: str
    is_origin: bool
    asked: str = ""
    proxy: str = ""
    steps: tuple[Step, ...] = ()
    addresses: tuple[str, ...] = ()
    skew_s: float | None = None
    final_host: str = ""
    ranged: bool | None = None

    def step(self, name: str) -> Step | None:
        """The step of that name, if it was reached."""
        return next((each for each in self.steps if each.name == name), None)

    @property
    def failure(self) -> Step | None:
        """The first step that failed."""
        return next((each for each in self.steps if not each.ok), None)


@dataclass(frozen=True, slots=True)
class FolderSeen:
    """A folder that is written to.

    Args:
        role: ``cache`` or ``state``.
        path: the folder; it need not exist yet.
        where: where the setting comes from.
        trouble: why nothing can be written there, or empty; ``exit_code`` is what a fetch would make of it.
        hint: what to do about it.
        free_bytes: None if the system does not say.
        symlinks: whether links can be made; None if it could not be tried.
        hard_links: likewise.
        exposed: somebody else owns it or may write to it.
        answers: False if trying it did not end in time; then a fetch would hang there.
    """

    role: str
    path: str
    where: str
    trouble: str = ""
    hint: str = ""
    exit_code: int = 0
    free_bytes: int | None = None
    symlinks: bool | None = None
    hard_links: bool | None = None
    exposed: bool = False
    answers: bool = True


@dataclass(frozen=True, slots=True)
class Setting:
    """One value as it counts, and where it comes from."""

    name: str
    value: str
    where: str
