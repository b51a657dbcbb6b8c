"""Settings as values: every choice that is not a reference or a selection, with its default, unit and bound.

Decides defaults. Deliberately reads neither environment nor files: ``load_settings`` alone does, so that
tests and the demo build a ``Settings`` and know everything that is in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from chunkdl.model import Mirror, MirrorKind
from chunkdl.settings.endpoints import is_confidential, netloc_of
from chunkdl.settings.registry import MODELSCOPE_HUB, PUBLIC_HUB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.observe import Notice

Trust = Literal["auto", "strict"]
ProgressWish = Literal["auto", "none"]

# First body byte: huggingface_hub waits 10 s; slow links and cold CDN edges were seen beyond that. Up to a day
# (Artifactory's manual sets 86400) for caches that fill themselves first.
FIRST_BYTE_S = 15.0
FIRST_BYTE_BOUNDS_S = (1.0, 86_400.0)
# TCP and TLS to a mirror: three SYN retransmissions (1 + 2 + 4 s) and a slow handshake fit.
CONNECT_S = 10.0
CONNECT_BOUNDS_S = (0.1, 300.0)
# The origin times out silently where it is blocked, on every command: give up sooner, ask mirrors instead.
ORIGIN_CONNECT_S = 3.0
ANSWER_S = 8.0
METADATA_S = 20.0
# How long a failure of the origin is remembered: longer than a session of retries, shorter than a commute.
ORIGIN_MEMORY_S = 600.0
# A cap of connections to one host that no setting exceeds: beyond it queues grow and goodput falls.
MAX_CONNECTIONS_BOUNDS = (1, 16)


def mirror_at(url: str, *, is_origin: bool = False, token: str | None = None) -> Mirror:
    """A Mirror of an already checked base URL, named after its host and port."""
    return Mirror(name=netloc_of(url), url=url, is_origin=is_origin, token=token)


def modelscope_at(url: str, token: str | None = None) -> Mirror:
    """The hub of ``ms:`` names at an already checked base URL."""
    return replace(mirror_at(url, is_origin=True, token=token), kind=MirrorKind.MODELSCOPE, max_connections=8)


@dataclass(frozen=True, slots=True)
class ProjectWishes:
    """What a project's ``chunkdl.toml`` wishes where the command line says nothing: what to take, at which revision."""

    revision: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    format: str | None = None
    variant: str | None = None
    quant: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a run is told besides what to fetch.

    Args:
        origin: the hub whose listing is believed; its token belongs to it alone.
        mirrors: other sources of bytes, best liked first; never contains the origin.
        trust: ``auto`` lets mirrors vouch when the origin is silent, ``strict`` does not.
        modelscope: the hub that ``ms:`` names are asked of; its token belongs to it alone.
        url_mirrors: static mirrors of addresses, for torch names and URLs; those typed are also among ``mirrors``.
        cache_dir: root of the hub cache (``HF_HUB_CACHE``).
        torch_dir: what ``torch.hub.get_dir`` finds: ``$TORCH_HOME/hub`` or its default.
        local_dir: folder that gets real files instead (``--local-dir``), its links resolved; None for the cache.
        state_dir: our own memory: listings once learnt, failures, measured rates.
        offline: no request is made; ``offline_because`` names the flag or variable that says so.
        use_symlinks: False places real files instead of links (``HF_HUB_DISABLE_SYMLINKS``).
        first_byte_s: from request to first body byte, where a mirror has no limit of its own.
        connect_s: until TCP and TLS stand, for bytes; ``origin_connect_s`` for the origin's metadata.
        answer_s: for one metadata answer; ``metadata_s`` for all of them without a new page.
        origin_memory_s: how long a silent origin is not waited for.
        progress: ``none`` if the environment switches bars off.
        color: False under ``NO_COLOR``.
        lowat: False switches ``SO_RCVLOWAT`` off (``CHUNKDL_NO_LOWAT``).
        exhausted: names of sources that give no bytes in this run, because a budget of theirs is spent.
        private: patterns of repository ids that no mirror may hear of, in any case.
        project: selection and revision of the folder's own settings file; what is typed goes before it.
        notices: what a person should know about how these settings came to be.
        provenance: name of a setting → where its value comes from.
    """

    origin: Mirror = field(default_factory=lambda: mirror_at(PUBLIC_HUB, is_origin=True))
    mirrors: tuple[Mirror, ...] = ()
    trust: Trust = "auto"
    modelscope: Mirror = field(default_factory=lambda: modelscope_at(MODELSCOPE_HUB))
    url_mirrors: tuple[Mirror, ...] = ()
    cache_dir: Path = field(default_factory=lambda: Path.home() / ".cache" / "huggingface" / "hub")
    torch_dir: Path = field(default_factory=lambda: Path.home() / ".cache" / "torch" / "hub")
    local_dir: Path | None = None
    state_dir: Path = field(default_factory=lambda: Path.home() / ".local" / "state" / "chunkdl")
    offline: bool = False
    offline_because: str = ""
    use_symlinks: bool = True
    first_byte_s: float = FIRST_BYTE_S
    connect_s: float = CONNECT_S
    origin_connect_s: float = ORIGIN_CONNECT_S
    answer_s: float = ANSWER_S
    metadata_s: float = METADATA_S
    origin_memory_s: float = ORIGIN_MEMORY_S
    progress: ProgressWish = "auto"
    color: bool = True
    lowat: bool = True
    exhausted: frozenset[str] = frozenset()
    private: tuple[str, ...] = ()
    project: ProjectWishes = ProjectWishes()
    notices: tuple[Notice, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def sources(self) -> tuple[Mirror, ...]:
        """The origin and the mirrors: everyone who may be asked for bytes."""
        return (self.origin, *self.mirrors)

    @property
    def origin_authenticated(self) -> bool:
        """True if the origin's word is protected: verified TLS, or loopback."""
        return is_confidential(self.origin.url)

    def is_private(self, repo_id: str) -> bool:
        """True if the user said that no mirror may hear this name; hubs take names in any case, so patterns do too."""
        return any(fnmatchcase(repo_id.lower(), pattern.lower()) for pattern in self.private)


@dataclass(frozen=True, slots=True)
class Flags:
    """What a command line or a library call says; None and empty mean that nothing was said.

    ``offline`` is True for ``--offline``, False for ``--online``.
    """

    origin: str | None = None
    mirrors: tuple[str | Mirror, ...] = ()
    add_mirrors: tuple[str | Mirror, ...] = ()
    no_mirrors: bool = False
    trust: Trust | None = None
    cache_dir: Path | None = None
    local_dir: Path | None = None
    offline: bool | None = None
