"""What a person types to name a model: ids, ``hf://`` references and pasted web addresses.

Decides which repository, revision and file a text means. Deliberately asks no hub whether they exist.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from chunkdl.errors import ReferenceInvalid, UsageError
from chunkdl.model import Reference, RepoType
from chunkdl.settings.registry import is_public_hub, known_mirror

# huggingface_hub's utils/_validators.py: one or two parts, each at most 96 of these.
_ID_PART = re.compile(r"[\w.-]{1,96}", re.ASCII)
# What git-check-ref-format refuses in a ref name, and what must not reach a path.
_BAD_REVISION = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|^[-/.]|[/.]$|/\.|\.lock(/|$)")
_MAX_REVISION_LENGTH = 250  # a path part; longer ones no ref file could hold
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_TYPES = {each.plural: each for each in RepoType}
# Pages of the hub's web site: …/<page>/<revision>[/<path>].
_PAGES = frozenset({"tree", "blob", "resolve", "raw", "commit", "blame"})
_UNSUPPORTED = {
    "torch": "torch hub names",
    "ms": "ModelScope names",
    "modelscope": "ModelScope names",
}
_HINT = "write bert-base-uncased, org/name, org/name@revision, datasets/org/name, hf://org/name or paste a hub URL"
# refs/pr/1 and refs/convert/parquet hold slashes in the place of one revision.
_REF_PREFIXES = ("refs/pr/", "refs/convert/", "refs/heads/", "refs/tags/")


def parse_reference(text: str) -> Reference:
    """Read ``text`` as a reference; ``path`` of a folder keeps its trailing slash.

    Raises:
        ReferenceInvalid: it cannot name a repository.
        UsageError: it names something that this version does not fetch.
    """
    typed = text.strip()
    scheme, colon, rest = typed.partition(":")
    if scheme in _UNSUPPORTED and colon:
        raise UsageError(f"{text}: {_UNSUPPORTED[scheme]} are not supported by this version", hint=_HINT)
    if typed.startswith("hf://"):
        return _from_hf_uri(text, rest.removeprefix("//"))
    if typed.startswith(("http://", "https://")):
        return _from_web(text, typed)
    if "://" in typed:
        raise ReferenceInvalid(f"{text}: {scheme}:// names no repository", hint=_HINT)
    repo, at, revision = typed.partition("@")
    repo_type, repo_id = _split_type(repo.split("/"))
    return _reference(text, repo_type, repo_id, revision if at else None)


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
        _check_revision(text, revision)
    if path is not None:
        _check_file(text, path)
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


def _check_revision(text: str, revision: str) -> None:
    if not revision or len(revision) > _MAX_REVISION_LENGTH or _BAD_REVISION.search(revision):
        raise ReferenceInvalid(f"{text!r}: {revision!r} is no revision", hint="a branch, a tag, refs/pr/N or a commit")


def _check_file(text: str, path: str) -> None:
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
    if not (is_public_hub(url) or known_mirror(url)):
        raise UsageError(f"{text}: URLs of other hosts are not supported by this version", hint=_HINT)
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
