"""Which hub is the origin and which mirrors are asked: the rules, on checked endpoints.

Decides that flags beat the environment, the environment the user's file, and that a public mirror named in
``HF_ENDPOINT`` becomes the first mirror, never the origin. A project's mirrors serve the public hub only: who has
an origin of their own is not told by a checkout where to look. Deliberately makes no request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.errors import UsageError
from chunkdl.model import Mirror, MirrorKind
from chunkdl.observe import Notice
from chunkdl.settings.declared import ANY_ADDRESS, checked_mirror, mirror_of
from chunkdl.settings.endpoints import host_of, is_confidential, netloc_of, parse_endpoint
from chunkdl.settings.environment import said
from chunkdl.settings.registry import KNOWN_MIRRORS, OTHER_HUBS, PUBLIC_HUB, is_public_hub, known_mirror, other_hub
from chunkdl.settings.values import Flags, mirror_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chunkdl.settings.declared import Declared
    from chunkdl.settings.endpoints import Endpoint
    from chunkdl.settings.user_file import UserFile


@dataclass(frozen=True, slots=True)
class Files:
    """What files say: the user's own, with its mirrors, and a project's mirrors."""

    user: UserFile
    declared: Sequence[Declared] = ()
    project: Sequence[Declared] = ()
    project_where: str = ""


@dataclass(frozen=True, slots=True)
class OriginChoice:
    """The origin's URL, where that was decided, and the public mirror that was named there in its place."""

    url: str
    where: str
    first_mirror: Mirror | None = None
    notices: tuple[Notice, ...] = ()


def choose_origin(flags: Flags, environ: Mapping[str, str], files: Files) -> OriginChoice:
    """The origin: ``--origin``, ``CHUNKDL_ORIGIN``, the user's file, ``HF_ENDPOINT``, the public hub."""
    if flags.origin:
        return _obeyed(flags.origin, "flag --origin")
    if named := said(environ, "CHUNKDL_ORIGIN"):
        return _obeyed(named[1], f"environment {named[0]}")
    file = files.user
    if configured := file.get("origin", str):
        choice = _unless_mirror(configured, file.place("origin"), files)
        if not is_confidential(choice.url) and not file.get("insecure", bool):
            place = file.place("origin")
            raise UsageError(f"{place}: the origin is plain HTTP", hint="use https, or add insecure = true")
        return replace(choice, where=file.where)
    if named := said(environ, "HF_ENDPOINT"):
        return _unless_mirror(named[1], f"environment {named[0]}", files)
    return OriginChoice(PUBLIC_HUB, "default")


def _unless_mirror(text: str, where: str, files: Files) -> OriginChoice:
    url = _hub_url(text, where)
    if not _is_registered(url, files.declared):
        return _obeyed(text, where)
    known = known_mirror(url)
    mirror = replace(mirror_at(url), max_connections=known.max_connections if known else 16)
    return OriginChoice(PUBLIC_HUB, where, mirror)


def _is_registered(url: str, declared: Iterable[Declared]) -> bool:
    """True for a public mirror that everybody knows, or that the user's own file declares to be one."""
    hosts = {host_of(each.mirror.url) for each in declared if each.of and is_public_hub(each.of)}
    return known_mirror(url) is not None or host_of(url) in hosts


def _obeyed(text: str, where: str) -> OriginChoice:
    url = _hub_url(text, where)
    if is_confidential(url):
        return OriginChoice(url, where)
    message = f"the origin {url} is plain HTTP: what it says is not authenticated, and no token goes there"
    return OriginChoice(url, where, None, (Notice("origin-plain-http", message),))


def _hub_url(text: str, where: str) -> str:
    endpoint = parse_endpoint(text, where=where)
    if endpoint.kind is not MirrorKind.HUGGING_FACE:
        raise UsageError(f"{where}: an origin speaks the hub's protocol; {endpoint.kind}+ names mirrors only")
    if hub := other_hub(endpoint.url):
        hint = f"type ms:org/name to fetch from it, or make it a mirror: --add-mirror modelscope+https://{hub.host}"
        raise UsageError(f"{where}: {hub.host} does not speak the hub's protocol", hint=hint)
    return endpoint.url


def choose_mirrors(
    flags: Flags, environ: Mapping[str, str], files: Files, origin: OriginChoice
) -> tuple[tuple[Mirror, ...], str]:
    """The mirrors in order of liking and where they come from; the origin is taken out, names are made unique."""
    chosen, where = _base_mirrors(flags, environ, files, origin)
    added = [_typed(each, "flag --add-mirror", files.declared) for each in flags.add_mirrors]
    where = f"{where}, flag --add-mirror" if added else where
    return _distinct([*chosen, *added], origin.url), where


def _base_mirrors(
    flags: Flags, environ: Mapping[str, str], files: Files, origin: OriginChoice
) -> tuple[list[Mirror], str]:
    if flags.no_mirrors:
        return [], "flag --no-mirrors"
    if flags.mirrors:
        return [_typed(each, "flag --mirror", files.declared) for each in flags.mirrors], "flag --mirror"
    if named := said(environ, "CHUNKDL_MIRRORS"):
        texts = [] if named[1].lower() == "none" else [each for each in named[1].split(",") if each.strip()]
        return [_typed(each, named[0], files.declared) for each in texts], f"environment {named[0]}"
    return _listed_mirrors(files, origin)


def _listed_mirrors(files: Files, origin: OriginChoice) -> tuple[list[Mirror], str]:
    """Those of the user's file, the built-in ones, those of the project; none that the user's file switches off."""
    serving = [each for each in files.declared if each.serves(origin.url)]
    off = {_place(each.mirror.url) for each in serving if not each.enabled}
    first = None if origin.first_mirror is None or _place(origin.first_mirror.url) in off else origin.first_mirror
    configured = [each.mirror for each in serving if each.enabled]
    public = is_public_hub(origin.url)
    builtin = _builtin() if public and files.user.get("builtin_mirrors", bool) is not False else []
    project = [replace(each.mirror, vouches=False) for each in files.project] if public else []
    rest = [each for each in (*builtin, *project) if _place(each.url) not in off]
    wheres = [files.user.where] if configured or off else []
    wheres += [files.project_where] if project else []
    where = ", ".join(wheres) or (origin.where if first else "default")
    return _led_by(first, [*configured, *rest]), where


def _led_by(first: Mirror | None, mirrors: list[Mirror]) -> list[Mirror]:
    """``first`` in front, as it was configured if it was."""
    if first is None:
        return mirrors
    leader = next((each for each in mirrors if _place(each.url) == _place(first.url)), first)
    return [replace(leader, priority=leader.priority + 1), *(each for each in mirrors if each is not leader)]


def mirror_notice(origin: OriginChoice, mirrors: Iterable[Mirror]) -> tuple[Notice, ...]:
    """What to say if a public mirror was named where an origin was expected."""
    if origin.first_mirror is None:
        return ()
    place = _place(origin.first_mirror.url)
    use = "it is the first mirror" if any(_place(each.url) == place for each in mirrors) else "it is not asked"
    named = origin.where.removeprefix("environment ")
    message = (
        f"{named} names {origin.first_mirror.name}, a public mirror of huggingface.co: {use}, "
        f"the origin stays {origin.url}, and the origin's token does not go to the mirror"
    )
    return (Notice("endpoint-is-mirror", message),)


def _same_hub(one: str, other: str) -> bool:
    return one == other or (is_public_hub(one) and is_public_hub(other))


def _builtin() -> list[Mirror]:
    listed = (each for each in (*KNOWN_MIRRORS, *OTHER_HUBS) if each.on)
    return [replace(mirror_at(each.url), kind=each.kind, max_connections=each.max_connections) for each in listed]


def _typed(each: str | Mirror, where: str, declared: Sequence[Declared]) -> Mirror:
    """A mirror as a library's caller made it; or by name or URL, with all that the user's own file says of it."""
    if isinstance(each, Mirror):
        return checked_mirror(each)
    own = [known.mirror for known in declared]
    named = next((known for known in own if known.name == each.strip()), None)
    mirror = named or _configured(parse_endpoint(each, where=where), where, own)
    # Whoever types a static mirror means the names typed beside it, whichever kind they are.
    return replace(mirror, replaces=ANY_ADDRESS) if mirror.kind is MirrorKind.STATIC else mirror


def _configured(endpoint: Endpoint, where: str, own: Iterable[Mirror]) -> Mirror:
    mirror = mirror_of(endpoint, where)
    known = next((each for each in own if _place(each.url) == _place(mirror.url)), None)
    if known is None or endpoint.kind not in (MirrorKind.HUGGING_FACE, known.kind):
        return mirror
    # Over another scheme it is another origin, and a token crosses no change of that.
    return replace(known, url=mirror.url, token=known.token if mirror.url == known.url else None)


def _distinct(mirrors: Iterable[Mirror], origin: str) -> tuple[Mirror, ...]:
    kept: dict[str, Mirror] = {}
    names = {netloc_of(origin)}
    for each in mirrors:
        place = _place(each.url)
        if place in kept or place == _place(origin) or _same_hub(each.url, origin):
            continue
        name = each.name if each.name not in names else place
        if name in names:
            raise UsageError(f"two mirrors are called {name!r}", hint="give one of them another name")
        names.add(name)
        kept[place] = replace(each, name=name)
    return tuple(kept.values())


def _place(url: str) -> str:
    """Host, port and path: http and https to one place are one mirror."""
    return url.partition("://")[2]
