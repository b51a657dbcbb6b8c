"""Which mirrors may hear a repository's name, and when.

Decides privacy alone: built-in and configured mirrors serve public repositories, and a name can be a secret.
Pure: settings and what the origin said in, mirrors out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.model import MirrorKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chunkdl.model import Mirror, Reference
    from chunkdl.settings import Settings


def at_once(settings: Settings, reference: Reference) -> tuple[Mirror, ...]:
    """Mirrors that may be asked beside the origin: none if a token might stand for a private repository."""
    if settings.origin.token or settings.is_private(reference.repo_id):
        return ()
    return settings.mirrors


def once_seen(
    settings: Settings, reference: Reference, canonical_id: str, *, private: bool, gated: bool
) -> tuple[Mirror, ...]:
    """Mirrors that may be asked after the origin has answered; ``canonical_id`` is what it calls the repository.

    They are asked by that name, which may be a secret although the one that was typed is none. A private repository
    is nobody's business. A gated one is asked only where a token of the mirror's own opens it: matching an open copy
    by digest would be a detour round its licence.
    """
    if private or settings.is_private(reference.repo_id) or settings.is_private(canonical_id):
        return ()
    return behind_gate(settings.mirrors) if gated else settings.mirrors


def behind_gate(mirrors: Iterable[Mirror]) -> tuple[Mirror, ...]:
    """Those of ``mirrors`` whose token opens the same gate; another hub's token is about another hub's gates."""
    return tuple(each for each in mirrors if each.token and each.kind is not MirrorKind.MODELSCOPE)


def without_origin(settings: Settings, reference: Reference) -> tuple[Mirror, ...]:
    """Mirrors that may be asked although the origin is silent; with a token this is told in a notice."""
    return () if settings.is_private(reference.repo_id) else settings.mirrors
