"""What the settings mean, where they come from, and which of the environment's variables surprise people. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.doctor.seen import Finding, Level, Setting
from chunkdl.errors import ChunkdlError
from chunkdl.http.proxies import proxy_of
from chunkdl.settings.environment import is_true

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chunkdl.settings import Settings

_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_OFFLINE_EXIT = 3


def list_settings(settings: Settings, environ: Mapping[str, str]) -> Iterator[Setting]:
    """Every value that a fetch would use; secrets are named, not shown."""

    def came(name: str) -> str:
        return settings.provenance.get(name, "default")

    yield Setting("origin", settings.origin.url, came("origin"))
    yield Setting("mirrors", ", ".join(each.url for each in settings.mirrors) or "none", came("mirrors"))
    yield Setting("token", _token(settings), came("token") if settings.origin.token else "")
    for each in settings.sources:
        yield Setting(f"proxy for {each.name}", _proxy(settings, each.name, environ), _policy(each.proxy))
    yield Setting("trust", settings.trust, came("trust"))
    yield Setting("offline", "yes" if settings.offline else "no", came("offline"))
    yield Setting("cache", str(settings.cache_dir), came("cache_dir"))
    yield Setting("state", str(settings.state_dir), came("state_dir"))
    yield Setting("symlinks", *_by_variable(not settings.use_symlinks, "HF_HUB_DISABLE_SYMLINKS"))
    yield Setting("connect limit", f"{settings.connect_s:g} s", came("connect_s"))
    yield Setting("first-byte limit", f"{settings.first_byte_s:g} s", came("first_byte_s"))
    yield Setting("certificates", *_certificates(environ))
    yield Setting("private names", ", ".join(settings.private) or "none", "default" if not settings.private else "")


def _by_variable(switched_off: bool, variable: str) -> tuple[str, str]:  # noqa: FBT001 - a switch's own value
    return ("off", f"environment {variable}") if switched_off else ("on", "default")


def _token(settings: Settings) -> str:
    return f"set, sent to {settings.origin.name} alone" if settings.origin.token else "none"


def _proxy(settings: Settings, name: str, environ: Mapping[str, str]) -> str:
    mirror = next(each for each in settings.sources if each.name == name)
    try:
        return proxy_of(mirror, environ) or "none"
    except ChunkdlError as error:
        return f"unusable: {error.message}"


def _policy(policy: str) -> str:
    return {"env": "environment", "none": "set to none"}.get(policy, "of its own")


def _certificates(environ: Mapping[str, str]) -> tuple[str, str]:
    named = environ.get("SSL_CERT_FILE")
    return (named, "environment SSL_CERT_FILE") if named else ("the system's", "default")


def judge_settings(settings: Settings, environ: Mapping[str, str], *, cached: bool) -> Iterator[Finding]:
    """What a person may not expect; ``cached``: the cache holds what an offline fetch would be asked for."""
    for notice in settings.notices:
        yield Finding(Level.NOTE, notice.code, "settings", notice.message)
    if settings.offline:
        yield _offline(settings, cached=cached)
    yield from _judge_token(settings, environ)
    yield from _judge_variables(environ)


def _offline(settings: Settings, *, cached: bool) -> Finding:
    why = settings.offline_because or "--offline"
    how = "drop it" if why == "--offline" else f"pass --online, or unset {why}"
    message = f"{why} is on: nothing is asked of anybody, only what the cache holds is found"
    if cached:
        return Finding(Level.NOTE, "offline", "offline", message, how)
    return Finding(Level.PROBLEM, "offline", "offline", f"{message}, which is not that", how, _OFFLINE_EXIT)


def _judge_token(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    named = next((each for each in _TOKEN_VARIABLES if environ.get(each, "").strip()), None)
    if named and is_true(environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "")):
        message = f"{named} is set, but HF_HUB_DISABLE_IMPLICIT_TOKEN keeps it back"
        yield Finding(Level.NOTE, "token-kept-back", "token", message)
    elif named == "HUGGING_FACE_HUB_TOKEN":
        yield Finding(Level.NOTE, "token-old-name", "token", f"{named} is the old name of HF_TOKEN; both work")
    if settings.origin.token and settings.mirrors:
        message = "with a token, mirrors are asked only after the origin said that a repository is public"
        yield Finding(Level.NOTE, "token-and-mirrors", "token", message)


def _judge_variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name in _PROXY_VARIABLES:
        low, up = environ.get(name), environ.get(name.upper())
        if low and up and low != up:
            message = f"{name} and {name.upper()} differ: {name} counts, as for curl"
            yield Finding(Level.WARNING, "two-proxies", name, message, f"unset {name.upper()}")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if environ.get(name) and not environ.get("SSL_CERT_FILE"):
            message = f"{name} is set, which only some programs read"
            yield Finding(Level.WARNING, "other-ca-bundle", name, message, f"export SSL_CERT_FILE=${name}")
