"""The one place that puts flags, environment, the user's file and defaults together.

Reads the settings file and the token file; every other module is handed a ``Settings``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args

from chunkdl.errors import UsageError
from chunkdl.observe import Notice
from chunkdl.settings import environment as env
from chunkdl.settings.choices import Files, choose_mirrors, choose_origin, mirror_notice
from chunkdl.settings.declared import ANY_ADDRESS, bounded, declared_in
from chunkdl.settings.endpoints import is_confidential, parse_endpoint
from chunkdl.settings.project import NO_PROJECT, Project, find_project
from chunkdl.settings.registry import MODELSCOPE_HUB
from chunkdl.settings.user_file import read_user_file
from chunkdl.settings.values import (
    CONNECT_BOUNDS_S,
    CONNECT_S,
    FIRST_BYTE_BOUNDS_S,
    FIRST_BYTE_S,
    Flags,
    Settings,
    Trust,
    mirror_at,
    modelscope_at,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from chunkdl.model import Mirror
    from chunkdl.settings.choices import OriginChoice
    from chunkdl.settings.declared import Declared
    from chunkdl.settings.user_file import UserFile

# Sites that sit behind a cache which fills itself first raise these, as Artifactory's manual tells them to.
_FIRST_BYTE_VARIABLES = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")


@dataclass(slots=True)
class _Draft:
    """Settings in the making: where each comes from and what is to be said about it."""

    provenance: dict[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)


def load_settings(
    environ: Mapping[str, str],
    config_path: Path | None = None,
    flags: Flags | None = None,
    folder: Path | None = None,
) -> Settings:
    """Settings of this run.

    Args:
        environ: ``os.environ``, or a stand-in.
        config_path: the user's settings file, which must exist; None means the usual place, if it is there.
        flags: what the command line says.
        folder: where a project's settings file may lie, whose word is limited; None looks for none.

    Raises:
        UsageError: a value cannot mean anything; the message names flag, variable or file.
    """
    flags = flags or Flags()
    path, required = user_settings_path(environ, config_path)
    file = read_user_file(path, required=required)
    project = find_project(folder, path) if folder is not None else NO_PROJECT
    files = Files(file, declared_in(file, environ), project.mirrors, project.where)
    draft = _Draft()
    origin = choose_origin(flags, environ, files)
    draft.notices += origin.notices
    mirrors, draft.provenance["mirrors"] = choose_mirrors(flags, environ, files, origin)
    draft.notices += (*mirror_notice(origin, mirrors), *project.notices(mirrors))
    first_byte_s = _first_byte_s(environ, file, draft)
    offline, offline_because = _offline(flags, environ, draft)
    progress, draft.provenance["progress"] = env.progress_wish(environ)
    return Settings(
        origin=replace(_origin(origin, environ, draft), first_byte_s=first_byte_s),
        mirrors=tuple(_patient(each, first_byte_s) for each in mirrors if each.replaces in {"", ANY_ADDRESS}),
        url_mirrors=tuple(_patient(each, first_byte_s) for each in mirrors if each.replaces),
        modelscope=replace(_modelscope(environ, draft), first_byte_s=first_byte_s),
        trust=_trust(flags, file, draft),
        cache_dir=_cache_dir(flags, environ, (project, file), draft),
        local_dir=_local_dir(flags, project, draft),
        torch_dir=_torch_dir(environ, draft),
        state_dir=_state_dir(environ, file, draft),
        offline=offline,
        offline_because=offline_because,
        use_symlinks=not env.is_true(environ.get("HF_HUB_DISABLE_SYMLINKS", "")),
        first_byte_s=first_byte_s,
        connect_s=_connect_s(file, draft),
        progress=progress,
        color=not environ.get("NO_COLOR"),
        lowat=not env.is_true(environ.get("CHUNKDL_NO_LOWAT", "")),
        private=tuple(file.get("private", list) or ()),
        project=project.wishes,
        notices=tuple(draft.notices),
        provenance=MappingProxyType(draft.provenance),
    )


def load_declared(environ: Mapping[str, str]) -> tuple[Declared, ...]:
    """Every mirror of the user's settings file, those that are not used included."""
    path, required = user_settings_path(environ)
    return declared_in(read_user_file(path, required=required), environ)


def user_settings_path(environ: Mapping[str, str], config_path: Path | None = None) -> tuple[Path, bool]:
    """The user's settings file, and whether it was named and therefore must exist."""
    usual, named = env.settings_file(environ)
    return config_path or usual, named or config_path is not None


def _origin(choice: OriginChoice, environ: Mapping[str, str], draft: _Draft) -> Mirror:
    draft.provenance["origin"] = choice.where
    found = env.hub_token(environ)
    if not found:
        return mirror_at(choice.url, is_origin=True)
    token, where = found
    if not is_confidential(choice.url):
        message = f"the token of {where} is not sent to {choice.url}: plain HTTP would show it to everybody on the way"
        draft.notices.append(Notice("token-withheld", message))
        return mirror_at(choice.url, is_origin=True)
    draft.provenance["token"] = where
    return mirror_at(choice.url, is_origin=True, token=token)


def _modelscope(environ: Mapping[str, str], draft: _Draft) -> Mirror:
    draft.provenance["modelscope"] = "default"
    url, token = MODELSCOPE_HUB, env.modelscope_token(environ)
    if named := env.modelscope_endpoint(environ):
        where = draft.provenance["modelscope"] = f"environment {named[0]}"
        url = parse_endpoint(named[1], where=where).url
    return modelscope_at(url, token if is_confidential(url) else None)


def _patient(mirror: Mirror, first_byte_s: float) -> Mirror:
    """A limit of the mirror's own stays; the general one takes the place of the default."""
    return replace(mirror, first_byte_s=first_byte_s) if mirror.first_byte_s == FIRST_BYTE_S else mirror


def _trust(flags: Flags, file: UserFile, draft: _Draft) -> Trust:
    configured = file.get("trust", str)
    said = flags.trust or configured or "auto"
    draft.provenance["trust"] = "flag --trust" if flags.trust else file.where if configured else "default"
    for trust in get_args(Trust):
        if said == trust:
            return trust  # type: ignore[no-any-return]  # an element of the Literal
    place = "flag --trust" if flags.trust else file.place("trust")
    raise UsageError(f"{place} is auto or strict, not {said!r}")


def _cache_dir(flags: Flags, environ: Mapping[str, str], files: tuple[Project, UserFile], draft: _Draft) -> Path:
    project, file = files
    found, where = env.hub_cache(environ)
    if flags.cache_dir:
        found, where = _typed_folder(flags.cache_dir, "--cache-dir"), "flag --cache-dir"
    elif _is_default(where) and project.cache_dir:
        found, where = project.cache_dir, project.where
    elif _is_default(where) and (configured := file.get("cache_dir", str)):
        found, where = env.folder(configured, environ), file.where
    draft.provenance["cache_dir"] = where
    return found.absolute()


def _is_default(where: str) -> bool:
    """True for a folder that nobody named: XDG_* only move where defaults lie, so that files go before them."""
    return where == "default" or where.startswith("environment XDG_")


def _local_dir(flags: Flags, project: Project, draft: _Draft) -> Path | None:
    """As the hub's client spells the folder, on stdout too: without links, so that none above it can be swapped."""
    if flags.local_dir is None and flags.cache_dir is None and project.local_dir is not None:
        draft.provenance["local_dir"] = project.where
        return project.local_dir
    if flags.local_dir is None:
        return None
    if flags.cache_dir is not None:
        raise UsageError("--local-dir and --cache-dir exclude each other", hint="keep the one that is meant")
    draft.provenance["local_dir"] = "flag --local-dir"
    return _typed_folder(flags.local_dir, "--local-dir").resolve()


def _typed_folder(typed: Path, flag: str) -> Path:
    """A folder as a person typed it, ``~`` expanded: in ``--flag=~/x`` no shell does."""
    try:
        found = typed.expanduser()
        found.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, no such user, a NUL
        raise UsageError(f"{flag} {str(typed)!r} is no folder: {error}") from error
    return found


def _torch_dir(environ: Mapping[str, str], draft: _Draft) -> Path:
    found, draft.provenance["torch_dir"] = env.torch_hub(environ)
    return found.absolute()


def _state_dir(environ: Mapping[str, str], file: UserFile, draft: _Draft) -> Path:
    found, where = env.state_folder(environ)
    if _is_default(where) and (configured := file.get("state_dir", str)):
        found, where = env.folder(configured, environ), file.where
    draft.provenance["state_dir"] = where
    return found.absolute()


def _offline(flags: Flags, environ: Mapping[str, str], draft: _Draft) -> tuple[bool, str]:
    if flags.offline is not None:
        draft.provenance["offline"] = "flag --offline" if flags.offline else "flag --online"
        return flags.offline, "--offline" if flags.offline else ""
    variable = env.offline_variable(environ)
    draft.provenance["offline"] = f"environment {variable}" if variable else "default"
    return variable is not None, variable or ""


def _connect_s(file: UserFile, draft: _Draft) -> float:
    configured = file.values.get("connect_s")
    draft.provenance["connect_s"] = "default" if configured is None else file.where
    return bounded(CONNECT_S if configured is None else configured, CONNECT_BOUNDS_S, file.place("connect_s"))


def _first_byte_s(environ: Mapping[str, str], file: UserFile, draft: _Draft) -> float:
    """The user's file or the default, raised (never lowered) by the hub's own time-outs."""
    configured = file.values.get("first_byte_s")
    draft.provenance["first_byte_s"] = "default" if configured is None else file.where
    limit_s = FIRST_BYTE_S if configured is None else configured
    limit_s = bounded(limit_s, FIRST_BYTE_BOUNDS_S, file.place("first_byte_s"))
    for name in _FIRST_BYTE_VARIABLES:
        wished_s = min(_whole_seconds(name, environ), FIRST_BYTE_BOUNDS_S[1])
        if wished_s > limit_s:
            limit_s, draft.provenance["first_byte_s"] = wished_s, f"environment {name}"
    return limit_s


def _whole_seconds(name: str, environ: Mapping[str, str]) -> float:
    text = environ.get(name, "").strip() or "0"
    if not text.isdecimal():
        raise UsageError(f"environment {name}: {text!r} is no whole number of seconds")
    return float(text)
