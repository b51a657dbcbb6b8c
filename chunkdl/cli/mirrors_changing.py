"""``chunkdl mirrors add`` and ``remove``: one change of the user's settings file, checked before it is written.

Decides what a name means (a mirror that is configured, or one that is known) and what adding or removing it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkdl.cli.answering import Answer, answer
from chunkdl.cli.empty_answers import EMPTY
from chunkdl.core.bandwidth import parse_rate
from chunkdl.errors import UsageError
from chunkdl.mirrors import editing
from chunkdl.settings.declared import Declared, declared_in
from chunkdl.settings.endpoints import host_of, parse_endpoint
from chunkdl.settings.load import user_settings_path
from chunkdl.settings.registry import KNOWN_MIRRORS, OTHER_HUBS, PUBLIC_HUB, is_public_hub, known_mirror, other_hub
from chunkdl.settings.user_file import check_user_text, settings_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.cli.surroundings import Surroundings

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Tokens of the hub begin so, and are longer than any sensible name of a variable.
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")


def add(around: Surroundings, /, *, place: str, as_json: bool, **options: Any) -> int:
    """Write the mirror ``place`` with ``options`` (keys of a ``[[mirror]]``, None where nothing was said)."""
    values = {key: value for key, value in options.items() if value is not None}
    return answer(around, lambda: _File(around).add(place, values), as_json=as_json, empty=EMPTY["mirrors add"])


def remove(around: Surroundings, place: str, *, as_json: bool) -> int:
    """Take the mirror ``place`` out, or switch it off if it is built in."""
    return answer(around, lambda: _File(around).remove(place), as_json=as_json, empty=EMPTY["mirrors remove"])


class _File:
    """The user's settings file while it is being changed."""

    def __init__(self, around: Surroundings) -> None:
        self._environ = around.environ
        self._path, _ = user_settings_path(around.environ)
        self._text = settings_text(self._path, required=False) or ""
        self._declared = self._check(self._text)

    def add(self, place: str, options: dict[str, Any]) -> Answer:
        url, kind = _meant(place)
        values = _checked(options)
        if kind != "hf":
            values.setdefault("kind", kind)
        at = self._find(url)
        if at is not None and self._declared[at].enabled:
            raise UsageError(
                f"{self._declared[at].place}: {url} is there already", hint="edit it there, or remove it first"
            )
        if at is not None:
            return self._save(lambda text: editing.changed(text, at, {"enabled": None, **values}), url, "is on again")
        known = known_mirror(url) or other_hub(url)
        values = {key: value for key, value in values.items() if key != "kind" or known is None or value != known.kind}
        if known is not None and known.on and known.url == url and not values:
            raise UsageError(f"{url} is built in and on already", hint="say what is to be different about it")
        return self._save(lambda text: editing.added(text, {"url": url, **values}), url, "is added")

    def remove(self, place: str) -> Answer:
        at = next((i for i, each in enumerate(self._declared) if each.mirror.name == place), None)
        url = self._declared[at].mirror.url if at is not None else _meant(place)[0]
        at = self._find(url) if at is None else at
        known = known_mirror(url) or other_hub(url)
        built_in = known is not None and known.on and known.url == url
        if at is None and not built_in:
            raise UsageError(f"{place}: no such mirror is configured", hint="chunkdl mirrors list shows them")
        if at is None:
            off = {"url": url, "enabled": False}
            return self._save(lambda text: editing.added(text, off), url, "is built in and switched off")
        if built_in:
            return self._save(lambda text: editing.changed(text, at, {"enabled": False}), url, "is switched off")
        return self._save(lambda text: editing.removed(text, at), url, "is removed")

    def _find(self, url: str) -> int | None:
        """The mirror at this place, http or https."""
        where = url.partition("://")[2]
        urls = [each.mirror.url.partition("://")[2] for each in self._declared]
        return urls.index(where) if where in urls else None

    def _check(self, text: str) -> tuple[Declared, ...]:
        return declared_in(check_user_text(text, str(self._path)), self._environ)

    def _save(self, change: Callable[[str], str], url: str, what: str) -> Answer:
        text = change(self._text)
        try:
            declared = self._check(text)
        except UsageError as error:  # it names lines of a text that nobody can look at
            reason = error.message.removeprefix(f"{self._path}:").lstrip("0123456789").removeprefix(": ")
            raise UsageError(f"{url}: {reason}", hint=error.hint or "nothing was written") from error
        editing.save(self._path, text)
        line = f"{url} {what} ({self._path})"
        names = [each.mirror.name for each in declared if each.enabled]
        values = {"url": url, "settings_file": str(self._path), "changed": what, "mirrors": names}
        return Answer(values, (), (), 0, (line,))


def _meant(place: str) -> tuple[str, str]:
    """URL and kind of what was typed: a known mirror by its host, or an endpoint."""
    known = next((each for each in (*KNOWN_MIRRORS, *OTHER_HUBS) if place.lower() == each.host), None)
    if known is not None:
        return known.url, known.kind.value
    endpoint = parse_endpoint(place, where="mirror")
    if is_public_hub(endpoint.url):
        raise UsageError(f"{endpoint.url} is the origin, not a mirror of it", hint="origins: --origin, CHUNKDL_ORIGIN")
    if "." not in host_of(endpoint.url) and "://" not in place:
        raise UsageError(f"{place}: no such mirror is known", hint="name its URL, or see chunkdl mirrors list")
    return endpoint.url, endpoint.kind.value


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """The options as keys of a ``[[mirror]]``; what the file's own check cannot see is checked here."""
    values = dict(options)
    if "limit_rate" in values:
        values["rate_cap_bytes_per_s"] = parse_rate(values.pop("limit_rate"))
    if "ca_file" in values:
        values["ca_file"] = str(Path(values["ca_file"]).absolute())
    if "of" in values and is_public_hub(values["of"]):
        values["of"] = PUBLIC_HUB
    variable = values.get("token_env", "X")
    if _TOKEN.fullmatch(variable) or not _VARIABLE.fullmatch(variable):
        raise UsageError("--token-env wants the name of a variable, not a token", hint="put the token into a variable")
    return values
