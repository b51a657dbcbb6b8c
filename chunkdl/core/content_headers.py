"""What the headers of one file's content say about its size, its digest and its commit.

Decides which header counts for what; needed only where a hub has no listing that says the same. Deliberately
does not know which request brought them, and proves nothing: a digest named here is checked as any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.core.response import content_length, parse_content_range
from chunkdl.model import Digest, DigestAlgorithm

if TYPE_CHECKING:
    from collections.abc import Mapping

_OK, _PARTIAL, _UNSATISFIABLE = 200, 206, 416
MAX_SIZE = 1 << 62  # what a file offset can be; a larger number is nonsense
_ALGORITHMS = {64: DigestAlgorithm.SHA256, 40: DigestAlgorithm.GIT_SHA1}
# Strong, quoted or bare as some caches send it. Weak ones name a rendering, ``<md5>-<parts>`` an S3 upload,
# ``<32 hex>-10`` what olah makes of a URL: none of them names content.
_ETAG = re.compile(r"\s*(?:\"([0-9a-f]{40}|[0-9a-f]{64})\"|([0-9a-f]{40}|[0-9a-f]{64}))\s*")

# The content of length 0 is known without asking: as git names it, and as sha256 does.
EMPTY = Digest(DigestAlgorithm.GIT_SHA1, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
_EMPTIES = {
    EMPTY,
    Digest(DigestAlgorithm.SHA256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
}


@dataclass(frozen=True, slots=True)
class ContentFacts:
    """What is known of one content so far; None is unknown.

    Args:
        size: bytes of the whole content.
        digest: its publisher's name.
        commit: ``X-Repo-Commit`` as it was sent, believable or not.
    """

    size: int | None = None
    digest: Digest | None = None
    commit: str | None = None

    @property
    def complete(self) -> bool:
        """True if a file can be described by this: both are known and do not contradict one another."""
        return self.size is not None and self.digest is not None and (self.size == 0) == (self.digest in _EMPTIES)

    def joined(self, later: ContentFacts) -> ContentFacts:
        """These facts, with what a later answer knows besides; an earlier word stands.

        Only a size of nought gives way: caches that have lost their upstream report it for everything (olah).
        """
        size = self.size if self.size or later.size is None else later.size
        return ContentFacts(size, self.digest or later.digest, self.commit or later.commit)


def read_facts(status: int, headers: Mapping[str, str]) -> ContentFacts:
    """Read the headers of an answer to HEAD, or to GET of the first byte; redirects say something too.

    Args:
        status: of this answer.
        headers: looked up by lower-case name.
    """
    tags = (headers.get("x-linked-etag", ""), headers.get("etag", ""))
    digest = next((found for each in tags if (found := etag_digest(each))), None)
    linked = headers.get("x-linked-size", "").strip()
    size = int(linked) if re.fullmatch(r"[0-9]{1,19}", linked) else _body_size(status, headers)
    believable = size if size is not None and size <= MAX_SIZE else None
    return ContentFacts(believable, digest, headers.get("x-repo-commit") or None)


def etag_digest(etag: str) -> Digest | None:
    """The digest that an entity tag is, or None for every tag that is none."""
    match = _ETAG.fullmatch(etag)
    if match is None:
        return None
    digits = match[1] or match[2]
    return Digest(_ALGORITHMS[len(digits)], digits)


def _body_size(status: int, headers: Mapping[str, str]) -> int | None:
    """The content's size as this answer's own body tells it; a redirect's body is another thing."""
    if headers.get("content-encoding", "").strip().lower() not in {"", "identity"}:
        return None  # whatever is counted here is counted compressed
    text = headers.get("content-range", "")
    if status == _PARTIAL:
        found = parse_content_range(text)
        return found.total if found else None
    if status == _UNSATISFIABLE:
        return 0 if re.fullmatch(r"\s*bytes\s+\*/0\s*", text, re.IGNORECASE) else None
    return content_length(headers) if status == _OK else None
