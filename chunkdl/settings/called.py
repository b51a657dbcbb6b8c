"""What the keywords of a library call mean as settings: the same as flags on the command line.

Decides which keyword goes before which variable or file. Makes no request.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.observe import Notice
from chunkdl.settings.endpoints import is_confidential
from chunkdl.settings.environment import checked_token
from chunkdl.settings.load import load_settings
from chunkdl.settings.values import Flags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkdl.model import Mirror
    from chunkdl.settings.values import Settings, Trust


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Where a call fetches from and puts things; None means: what environment, settings file and defaults say.

    Args:
        mirrors: instead of the configured ones, URLs, configured names or ``Mirror``; an empty list leaves the
            origin alone.
        add_mirrors: beside the configured ones.
        origin: the hub whose listing is believed.
        trust: ``auto`` lets mirrors vouch while the origin is silent, ``strict`` does not.
        token: for the origin alone, never sent to mirrors; False for none, True for the one of the environment
            even where HF_HUB_DISABLE_IMPLICIT_TOKEN forbids to use that unasked.
        offline: True asks nobody, False ignores HF_HUB_OFFLINE.
        cache_dir: root of the hub cache.
        local_dir: folder that gets real files instead; not together with ``cache_dir``.
    """

    mirrors: Sequence[str | Mirror] | None = None
    add_mirrors: Sequence[str | Mirror] = ()
    origin: str | None = None
    trust: Trust | None = None
    token: str | bool | None = None
    offline: bool | None = None
    cache_dir: str | os.PathLike[str] | None = None
    local_dir: str | os.PathLike[str] | None = None

    def settings(self, environ: Mapping[str, str] = os.environ) -> Settings:
        """Settings of this call.

        Raises:
            UsageError: a keyword, a variable or a line of the settings file cannot mean anything.
        """
        flags = Flags(
            origin=self.origin,
            mirrors=tuple(self.mirrors or ()),
            add_mirrors=tuple(self.add_mirrors),
            no_mirrors=self.mirrors is not None and not self.mirrors,
            trust=self.trust,
            cache_dir=_folder(self.cache_dir),
            local_dir=_folder(self.local_dir),
            offline=self.offline,
        )
        if self.token is True:  # asked for: implicit or not is no question any more
            environ = {name: value for name, value in environ.items() if name != "HF_HUB_DISABLE_IMPLICIT_TOKEN"}
        settings = load_settings(environ, flags=flags)
        if self.token is None or self.token is True:
            return settings
        return with_token(settings, self.token or None)


def with_token(settings: Settings, token: str | None) -> Settings:
    """The same settings with another token for the origin, or none; plain HTTP to another machine gets none, and why.

    Raises:
        UsageError: no header can carry ``token``.
    """
    origin = settings.origin
    if token is None:
        return replace(settings, origin=replace(origin, token=None))
    if is_confidential(origin.url):
        return replace(settings, origin=replace(origin, token=checked_token(token, "token")))
    message = f"the token is not sent to {origin.url}: plain HTTP would show it to everybody on the way"
    notices = (*settings.notices, Notice("token-withheld", message))
    return replace(settings, origin=replace(origin, token=None), notices=notices)


def _folder(typed: str | os.PathLike[str] | None) -> Path | None:
    return None if typed is None else Path(typed)
