"""Where one file of an artifact lies on one mirror: the URL before any redirect.

Decides the percent-encoding: once, per path component. Deliberately knows no redirects and no signatures;
what a mirror answers is never re-encoded by anyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from chunkdl.model import Mirror, MirrorKind, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.model import Artifact, RemoteFile
    from chunkdl.observe import Notice


@dataclass(frozen=True, slots=True)
class MirrorCoverage:
    """What one mirror may be asked for.

    ``has_commit``: it lists the artifact's commit. Otherwise ``lag`` says how it differs, in a few words, and
    ``elsewhere`` names the contents that it proved to hold all the same: path in the artifact →
    (commit, path) on that mirror; ``urls`` does the same for mirrors whose addresses are not the hub's: path in
    the artifact → whole URL. ``validator`` is then what every answer must bear (see ``Source``). ``refused`` are paths
    that it lists with another digest or not at all. ``notice`` is what a person should know besides. ``silent``: it
    gave no answer, which may pass.
    """

    mirror: Mirror
    has_commit: bool
    lag: str | None = None
    elsewhere: Mapping[str, tuple[str, str]] | None = None
    refused: frozenset[str] = frozenset()
    urls: Mapping[str, str] | None = None
    notice: Notice | None = None
    validator: str = ""
    silent: bool = False

    @property
    def useful(self) -> bool:
        """True if at least one file may be asked from this mirror."""
        return self.has_commit or bool(self.elsewhere) or bool(self.urls)


def encode_path(path: str) -> str:
    """Percent-encode each component; only the separating slashes stay."""
    return "/".join(quote(part, safe="") for part in path.split("/"))


def source_url(mirror: Mirror, artifact: Artifact, file: RemoteFile) -> str:
    """The URL of ``file`` at the artifact's commit on ``mirror``."""
    return _url(mirror, artifact, artifact.commit, file.path)


def source_of(coverage: MirrorCoverage, artifact: Artifact, file: RemoteFile) -> Source | None:
    """The source of ``file`` on a mirror of this coverage, or None if it did not prove that it has it."""
    mirror = coverage.mirror
    if coverage.urls is not None:
        url = coverage.urls.get(file.path)
        return Source(mirror, url, coverage.validator) if url else None
    if coverage.has_commit:
        return None if file.path in coverage.refused else Source(mirror, source_url(mirror, artifact, file))
    commit, path = (coverage.elsewhere or {}).get(file.path, ("", ""))
    return Source(mirror, _url(mirror, artifact, commit, path)) if commit else None


def _url(mirror: Mirror, artifact: Artifact, commit: str, path: str) -> str:
    if mirror.kind is MirrorKind.STATIC:
        return _static_url(mirror.url, artifact.reference.repo_id, commit, path)
    prefix = artifact.reference.repo_type.url_prefix
    return f"{mirror.url}/{prefix}{encode_path(artifact.canonical_id)}/resolve/{commit}/{encode_path(path)}"


def _static_url(template: str, repo_id: str, commit: str, path: str) -> str:
    """Fill ``{repo} {revision} {path}``; without any of them the files lie at ``URL/{repo}/{path}``."""
    values = {"{repo}": encode_path(repo_id), "{revision}": commit, "{path}": encode_path(path)}
    if "{path}" not in template:
        template += "/{path}" if "{repo}" in template else "/{repo}/{path}"
    for name, value in values.items():
        template = template.replace(name, value)
    return template
