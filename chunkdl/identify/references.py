"""What a person types to name a model: ids, ``hf://`` references and pasted web addresses.

Decides which repository, revision and file a text means. Deliberately asks no hub whether they exist.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from chunkdl.errors import ReferenceInvalid, UsageError
from chunkdl.identify.url_references import torch_reference, url_reference
from chunkdl.model import Hub, Reference, RepoType
from chunkdl.settings.registry import is_public_hub, known_mirror, other_hub

# huggingface_hub's utils/_validators.py: one or two parts, each at most 96 of these.
_ID_PART = re.compile(r"[\w.-]{1,96}", re.ASCII)
# What git-check-ref-format refuses in a ref name, and what must not reach a path.
_BAD_REVISION = re.compile(r"[\x00-\x20\x7f\ud800-\udfff~^:?*\[\\]|\.\.|//|@\{|^[-/.]|[/.]$|/\.|\.lock(/|$)")
_MAX_REVISION_LENGTH = 250  # a path part; longer ones no ref file could hold
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\\]")
_TYPES = {each.plural: each for each in RepoType}
# Pages of the hub's web site: …/<page>/<revision>[/<path>].
_PAGES = frozenset({"tree", "blob", "resolve", "raw", "commit", "blame"})
_HINT = (
    "write bert-base-uncased, org/name, org/name@revision, datasets/org/name, hf://org/name, torch:resnet50, "
    "or paste a URL"
)
_WEB = frozenset({"http", "https"})
_MODELSCOPE = frozenset({"ms", "modelscope"})
_MODELSCOPE_HINT = "write ms:org/name, ms:org/name@revision or ms:datasets/org/name"
# Pages of ModelScope's web site that name a revision and a file after these words.
_MODELSCOPE_PAGES = (["resolve"], ["file", "view"])
# refs/pr/1 and refs/convert/parquet hold slashes in the place of one revision.
_REF_PREFIXES = ("refs/pr/", "refs/convert/", "refs/heads/", "refs/tags/")


def parse_reference(text: str) -> Reference:
    """Read ``text`` as a reference; ``path`` of a folder keeps its trailing slash.

    Raises:
        ReferenceInvalid: it cannot name a repository, a checkpoint or a file.
        PolicyRefused: an address over plain HTTP.
    """
    typed = text.strip()
    scheme, colon, rest = typed.partition(":")
    if scheme == "torch" and colon:
        return torch_reference(text)
    if scheme in _MODELSCOPE and colon:
        return _from_modelscope(text, rest.removeprefix("//"))
    if typed.startswith("hf://"):
        return _from_hf_uri(text, rest.removeprefix("//"))
    if scheme.lower() in _WEB and rest.startswith("//"):
        return _from_web(text, f"{scheme.lower()}:{rest}")
    if "://" in typed:
        raise ReferenceInvalid(f"{text}: {scheme}:// names no repository", hint=_HINT)
    repo, at, revision = typed.partition("@")
    repo_type, repo_id = _split_type(repo.split("/"))
    return _reference(text, repo_type, repo_id, revision if at else None)


def parse_repository(text: str) -> Reference:
    """The same for commands that look at repositories of a Hugging Face hub alone.

    Raises:
        UsageError: it names one file by itself, a repository of another hub, or nothing.
    """
    reference = parse_reference(text)
    if reference.hub.names_files:
        raise UsageError(f"{text} names a file, and a repository is wanted here", hint="write org/name")
    if reference.hub is not Hub.HUGGING_FACE:
        message = f"{text} is a repository of ModelScope, and this command asks about those of a Hugging Face hub"
        raise UsageError(message, hint="write org/name as that hub calls it; chunkdl fetch takes both")
    return reference


def _split_type(parts: list[str]) -> tuple[RepoType, list[str]]:
    """Take a leading ``datasets/`` (or models, spaces) off; a lone word is always an id."""
    if len(parts) > 1 and parts[0] in _TYPES:
        return _TYPES[parts[0]], parts[1:]
    return RepoType.MODEL, parts


def _reference(
    text: str, repo_type: RepoType, repo: list[str], revision: str | None, path: str | None = None
) -> Reference:
    repo_id = "/".join(repo)
    if not is_repo_id(repo_id):
        raise ReferenceInvalid(f"{text}: {repo_id!r} is no repository id", hint=_HINT)
    if revision is not None:
        check_revision(text, revision)
    if path is not None:
        check_file(text, path)
    return Reference(text, repo_id, repo_type, revision, path)


def is_repo_id(repo_id: str) -> bool:
    """True for ids that the hub can have: the rules of huggingface_hub's validator."""
    parts = repo_id.split("/")
    return (
        len(parts) in (1, 2)
        and all(_ID_PART.fullmatch(part) for part in parts)
        and "--" not in repo_id
        and ".." not in repo_id
        and not repo_id.endswith(".git")
        and not any(part[0] in "-." or part[-1] in "-." for part in parts)
    )


def check_revision(text: str, revision: str) -> None:
    """Refuse what no hub takes as a revision; ``text`` is where it stands. Raises ReferenceInvalid."""
    if not revision or len(revision) > _MAX_REVISION_LENGTH or _BAD_REVISION.search(revision):
        raise ReferenceInvalid(f"{text!r}: {revision!r} is no revision", hint="a branch, a tag, refs/pr/N or a commit")


def check_file(text: str, path: str) -> None:
    """Refuse what is no path inside a repository, a folder's ending in a slash. Raises ReferenceInvalid."""
    parts = path.removesuffix("/").split("/")
    if _CONTROL.search(path) or any(part in ("", ".", "..") for part in parts):
        raise ReferenceInvalid(f"{text!r}: {path!r} is no path inside a repository")


def _from_hf_uri(text: str, rest: str) -> Reference:
    """``hf://[type/]org/name[@revision][/path]``; a slash in a revision is written ``%2F``, except in ``refs/``."""
    repo, at, tail = rest.partition("@")
    repo_type, parts = _split_type(repo.split("/"))
    if at:
        revision, path = _split_revision(tail)
        return _reference(text, repo_type, parts, revision, path)
    return _reference(text, repo_type, parts[:2], None, "/".join(parts[2:]) or None)


def _split_revision(tail: str) -> tuple[str, str | None]:
    for prefix in _REF_PREFIXES:
        if tail.startswith(prefix):
            number, _, path = tail.removeprefix(prefix).partition("/")
            return prefix + number, path or None
    revision, _, path = tail.partition("/")
    return unquote(revision), path or None


def _from_web(text: str, url: str) -> Reference:
    try:
        urlsplit(url)
    except ValueError as error:  # brackets around what is no address
        raise ReferenceInvalid(f"{text}: no host in the URL", hint=_HINT) from error
    if other_hub(url):
        return _from_modelscope_web(text, url)
    if not (is_public_hub(url) or known_mirror(url)):
        return replace(url_reference(url), text=text)
    known = known_mirror(url)
    path = urlsplit(url).path.removeprefix(known.path if known else "")
    raw = path.removeprefix("/").split("/")
    repo_type, raw = _split_type(raw)
    page = next((at for at in (1, 2) if at < len(raw) and raw[at] in _PAGES), None)
    if page is None:
        return _reference(text, repo_type, [part for part in raw if part], None)
    return _from_page(text, repo_type, raw[:page], raw[page:])


def _from_page(text: str, repo_type: RepoType, repo: list[str], page: list[str]) -> Reference:
    revision, path = _split_revision("/".join(page[1:]))
    path = "/".join(unquote(part) for part in path.split("/")) if path else None
    if not revision:
        raise ReferenceInvalid(f"{text}: the URL ends before its revision", hint=_HINT)
    if path and page[0] == "tree":
        path = path.removesuffix("/") + "/"
    return _reference(text, repo_type, repo, revision, path)


def _from_modelscope(text: str, typed: str) -> Reference:
    """``[datasets/]org/name[@revision]``; every repository there has an owner."""
    repo, at, revision = typed.partition("@")
    repo_type, parts = _split_type(repo.split("/"))
    return _on_modelscope(text, repo_type, parts, revision if at else None)


def _from_modelscope_web(text: str, url: str) -> Reference:
    """A pasted page of the web site: ``/models/org/name``, one of its tabs, or a file."""
    kind, *parts = [part for part in urlsplit(url).path.split("/") if part] or [""]
    repo_type = _TYPES.get(kind)
    if repo_type is None:
        raise ReferenceInvalid(f"{text}: the page shows no model and no data set", hint=_MODELSCOPE_HINT)
    repo, page = parts[:2], parts[2:]
    for name in _MODELSCOPE_PAGES:
        if page[: len(name)] == name and len(page) > len(name):
            revision, path = unquote(page[len(name)]), "/".join(map(unquote, page[len(name) + 1 :]))
            return _on_modelscope(text, repo_type, repo, revision, path or None)
    return _on_modelscope(text, repo_type, repo, None)


def _on_modelscope(
    text: str, repo_type: RepoType, repo: list[str], revision: str | None, path: str | None = None
) -> Reference:
    if len(repo) != 2:  # noqa: PLR2004  owner and name
        raise ReferenceInvalid(f"{text}: {'/'.join(repo)!r} is no repository of ModelScope", hint=_MODELSCOPE_HINT)
    if repo_type is RepoType.SPACE:
        raise UsageError(f"{text}: models and datasets are fetched from ModelScope, no studios", hint=_MODELSCOPE_HINT)
    return replace(_reference(text, repo_type, repo, revision, path), hub=Hub.MODELSCOPE)
