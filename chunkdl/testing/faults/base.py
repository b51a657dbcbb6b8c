"""When a fault strikes, as data; and the register of all kinds by name."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from chunkdl.testing.answers import Kind

if TYPE_CHECKING:
    from chunkdl.testing.answers import Answer, Request
    from chunkdl.testing.hub_repo import HubRepo

KINDS: dict[str, type[Fault]] = {}
# What ``where`` may say, and the kinds of request that it means.
GROUPS = {
    "any": frozenset(Kind),
    "api": frozenset({Kind.INFO, Kind.TREE}),
    **{kind.value: frozenset({kind}) for kind in Kind},
}


@dataclass(frozen=True)
class Fault:
    """When a fault strikes; each kind below says what it does then."""

    name: ClassVar[str] = ""

    _: KW_ONLY
    path: str = "*"
    where: str = "content"
    skip: int = 0
    every: int = 1
    times: int | None = None

    def __post_init__(self) -> None:
        """Refuse a ``where`` that no request would ever match, and an ``every`` that means nothing."""
        if self.where not in GROUPS:
            raise ValueError(f"a fault strikes at one of {', '.join(GROUPS)}, not at {self.where!r}")
        if self.every < 1:
            raise ValueError(f"a fault strikes every n-th time, n from 1 on, not {self.every}")

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Register the kind under its name."""
        super().__init_subclass__(**keywords)
        KINDS[cls.name] = cls

    def bend(self, answer: Answer, request: Request) -> None:
        """Change the answer that an honest mirror would have given."""

    def view(self, repo: HubRepo) -> HubRepo:
        """Return the repository as this mirror has it; does not depend on skip, every and times."""
        return repo
