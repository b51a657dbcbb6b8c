"""A ``[[mirror]]`` table as a mirror: every value checked, and named by file, line and key where it is wrong.

Decides what each key means. Deliberately does not decide which mirrors are asked (``choices``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chunkdl.errors import UsageError
from chunkdl.model import Mirror, MirrorKind
from chunkdl.settings.endpoints import Endpoint, is_confidential, parse_endpoint
from chunkdl.settings.environment import checked_token, folder
from chunkdl.settings.registry import is_public_hub, known_mirror, other_hub
from chunkdl.settings.user_file import FACTS
from chunkdl.settings.values import FIRST_BYTE_BOUNDS_S, FIRST_BYTE_S, MAX_CONNECTIONS_BOUNDS, mirror_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.settings.user_file import MirrorTable, UserFile

_PROXY_SCHEMES = frozenset({"http", "https", "socks4", "socks5", "socks5h"})
# More would hide a typing mistake (kilobytes read as bytes) rather than cap a link: 100 Gbit/s.
_RATE_BOUNDS = (0.0, 12.5e9)
_PRIORITY_BOUNDS = (-1000, 1000)  # an order among a handful
# What a static mirror that is typed for one command replaces: its files are asked for by their names alone.
ANY_ADDRESS = "*"


@dataclass(frozen=True, slots=True)
class Declared:
    """A mirror as a file declares it.

    ``of`` is the hub that it mirrors, empty if unsaid. ``facts`` are free text: what it covers, how often it
    syncs, who runs it, under which certification. ``token_env`` names a variable, never a token.
    """

    mirror: Mirror
    place: str
    enabled: bool = True
    of: str = ""
    token_env: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def serves(self, origin: str) -> bool:
        """False for a mirror declared to be of another hub than ``origin``."""
        return not self.of or self.of == origin or (is_public_hub(self.of) and is_public_hub(origin))


def declared_in(file: UserFile, environ: Mapping[str, str]) -> tuple[Declared, ...]:
    """Every mirror of ``file``, in its order; ``UsageError`` names file, line and key of a wrong value."""
    return tuple(_declared(each, environ) for each in file.mirrors)


def mirror_of(endpoint: Endpoint, where: str) -> Mirror:
    """The mirror that an endpoint names, with the courtesy cap of a known one."""
    hub = other_hub(endpoint.url)
    known = known_mirror(endpoint.url) or hub
    kind = hub.kind if hub and endpoint.kind is MirrorKind.HUGGING_FACE else endpoint.kind
    if kind is MirrorKind.MODELSCOPE and urlsplit(endpoint.url).path:
        raise UsageError(f"{where}: a ModelScope server has no path", hint="write modelscope+https://host")
    mirror = replace(mirror_at(endpoint.url), kind=kind)
    return replace(mirror, max_connections=known.max_connections) if known else mirror


def checked_mirror(mirror: Mirror) -> Mirror:
    """A mirror that a library's caller made, spelt as a settings file's would be; it is never the origin.

    Raises:
        UsageError: a value that a settings file must not hold either; the message names the mirror and the field.
    """
    where = f"mirror {mirror.name}"
    endpoint = parse_endpoint(mirror.url, where=f"{where}: url")
    bounded(mirror.max_connections, MAX_CONNECTIONS_BOUNDS, f"{where}: max_connections")
    bounded(mirror.first_byte_s, FIRST_BYTE_BOUNDS_S, f"{where}: first_byte_s")
    bounded(mirror.rate_cap_bytes_per_s, _RATE_BOUNDS, f"{where}: rate_cap_bytes_per_s")
    bounded(mirror.priority, _PRIORITY_BOUNDS, f"{where}: priority")
    _check_proxy(mirror.proxy, f"{where}: proxy")
    _check_name(mirror.name, f"{where}: name")
    if mirror.token is not None:
        checked_token(mirror.token, f"{where}: token")
    if mirror.ca_file and not Path(mirror.ca_file).is_file():
        raise UsageError(f"{where}: ca_file: {mirror.ca_file} is no file", hint="name a PEM bundle of certificates")
    kind = mirror.kind if endpoint.kind is MirrorKind.HUGGING_FACE else endpoint.kind
    return replace(mirror, url=endpoint.url, kind=kind, is_origin=False)


def _declared(table: MirrorTable, environ: Mapping[str, str]) -> Declared:
    values, place = table.values, table.place
    mirror = mirror_of(_endpoint(table), place("url"))
    named = {key: values[key] for key in ("name", "proxy") if key in values}
    if "name" in named:  # an empty one would be taken for none, and made from the URL
        _check_name(named["name"], place("name"))
    mirror = replace(
        mirror,
        **named,
        priority=int(bounded(values.get("priority", mirror.priority), _PRIORITY_BOUNDS, place("priority"))),
        max_connections=int(
            bounded(
                values.get("max_connections", mirror.max_connections), MAX_CONNECTIONS_BOUNDS, place("max_connections")
            )
        ),
        first_byte_s=bounded(values.get("first_byte_s", FIRST_BYTE_S), FIRST_BYTE_BOUNDS_S, place("first_byte_s")),
        rate_cap_bytes_per_s=bounded(
            values.get("rate_cap_bytes_per_s", 0.0), _RATE_BOUNDS, place("rate_cap_bytes_per_s")
        ),
        token=_token(table, environ, mirror.url),
        ca_file=_ca_file(table, environ),
        replaces=_replaced(table, mirror),
    )
    _check_proxy(mirror.proxy, place("proxy"))
    return Declared(
        mirror,
        place("url"),
        enabled=values.get("enabled", True),
        of=parse_endpoint(values["of"], where=place("of")).url if "of" in values else "",
        token_env=values.get("token_env", ""),
        facts={key: values[key] for key in FACTS if values.get(key)},
    )


def _replaced(table: MirrorTable, mirror: Mirror) -> str:
    """The address that a static mirror stands in for, with one slash at its end, so that no half name ever matches."""
    said = table.values.get("replaces")
    if said is None:
        return ""
    if mirror.kind is not MirrorKind.STATIC:
        raise UsageError(f"{table.place('replaces')}: only a static mirror replaces addresses", hint='kind = "static"')
    endpoint = parse_endpoint(said, where=table.place("replaces"))
    return f"{endpoint.url}/"


def _endpoint(table: MirrorTable) -> Endpoint:
    """``url`` with its ``kind+`` prefix, or with the kind that stands beside it."""
    endpoint = parse_endpoint(table.values["url"], where=table.place("url"))
    said = table.values.get("kind")
    if said is None:
        return endpoint
    kind = next((each for each in MirrorKind if each.value == said), None)
    if kind is None:
        raise UsageError(
            f"{table.place('kind')}: {said!r} is no kind of mirror", hint="known kinds: hf, modelscope, static"
        )
    if endpoint.kind not in (MirrorKind.HUGGING_FACE, kind):
        raise UsageError(f"{table.place('kind')}: {said!r}, but the URL says {endpoint.kind.value!r}")
    return replace(endpoint, kind=kind)


def _token(table: MirrorTable, environ: Mapping[str, str], url: str) -> str | None:
    name = table.values.get("token_env")
    if name is None or not is_confidential(url) or not environ.get(name):
        return None
    return checked_token(environ[name].strip(), f"environment {name}")


def _ca_file(table: MirrorTable, environ: Mapping[str, str]) -> str:
    said = table.values.get("ca_file", "")
    if not said:
        return ""
    path = folder(said, environ)
    path = path if path.is_absolute() else Path(table.file).absolute().parent / path
    if not path.is_file():
        raise UsageError(f"{table.place('ca_file')}: {path} is no file", hint="name a PEM bundle of certificates")
    return str(path)


def _check_proxy(text: str, where: str) -> None:
    """``env``, ``none`` or a proxy's URL; the message never repeats it, since it may hold a password."""
    if text in {"env", "none"}:
        return
    try:
        parts = urlsplit(text)
        usable = parts.scheme in _PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{where}: no proxy", hint="write env, none, http://host:port or socks5h://host:port")


def _check_name(name: str, where: str) -> None:
    if not name.strip() or not name.isprintable():
        raise UsageError(f"{where}: a name of printable characters is wanted")


def bounded(value: float, bounds: tuple[float, float], where: str) -> float:
    """``value`` if it lies within ``bounds``, ends included; else ``UsageError``."""
    low, high = bounds
    if not low <= value <= high:
        raise UsageError(f"{where}: {value} is not between {low} and {high}")
    return float(value)
