"""Whether an answer's headers allow its bytes to be used for the range that was asked.

Headers decide *how* bytes may be used, digests decide whether they are true. Deliberately does not
know connections, redirects or what the scheduler does with a verdict. Header lookups are by
lower-case name, so that both a plain dict and a case-insensitive one serve.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from chunkdl.errors import ContentEncoded, FileReplaced, HTTPStatus, NotTheFile, RangeMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.model import ByteRange

_OK, _PARTIAL, _UNSATISFIABLE, _TOO_MANY = 200, 206, 416, 429

# RFC 9110 §14.4; the unsatisfied form ``bytes */N`` never accompanies a 206.
_CONTENT_RANGE = re.compile(r"\s*bytes\s+(\d{1,19})-(\d{1,19})/(\d{1,19}|\*)\s*", re.IGNORECASE)

# hf-contract §7.6: `"resolvers";r=0;t=55`, r requests left, t seconds until the window starts anew.
_RATE_LIMIT = re.compile(r";\s*r=(\d{1,9})\s*;\s*t=(\d{1,9})")

# No peer may put us to sleep for longer than this many seconds; the hub's windows are 300 s.
RETRY_AFTER_LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class ContentRange:
    """``Content-Range`` as half-open bytes; ``total`` None for ``*``."""

    start: int
    stop: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Usable:
    """Terms on which a body may be used.

    Args:
        ranged: the peer obeyed the Range header; False is a 200 that starts at offset 0.
        start: offset in the file of the body's first byte.
        stop: offset in the file where the wanted part of the body ends.
        framed: Content-Length ends the message exactly at ``stop``; False if the length is unknown
            or the peer announces more than it should, so that the connection cannot be kept.
        total: size of the file as the peer said it, None if unsaid.
    """

    ranged: bool
    start: int
    stop: int
    framed: bool
    total: int | None


def parse_content_range(text: str) -> ContentRange | None:
    """Read ``bytes 0-99/1000``; None for any other form or for an impossible one."""
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if last < first or (total is not None and last >= total):
        return None
    return ContentRange(first, last + 1, total)


def judge(
    status: int, headers: Mapping[str, str], asked: ByteRange | None, *, size: int, mirror: str, validator: str = ""
) -> Usable:
    """Decide how the body behind these headers may be used.

    Args:
        status: HTTP status after redirects.
        headers: looked up by lower-case name.
        asked: the range requested, or None if no Range header was sent.
        size: bytes of the whole file, from an authority.
        mirror: name for messages.
        validator: what ``content_validator`` must say of the answer; empty asks for nothing.

    Raises:
        HTTPStatus: neither 200 nor 206.
        RangeMismatch: another range, total or length than asked; also 416, and a 206 unasked.
        FileReplaced: the validator is another one.
        ContentEncoded: any Content-Encoding but identity.
        NotTheFile: an HTML page that is not as long as the file.
    """
    if status == _UNSATISFIABLE:
        raise RangeMismatch(f"{mirror} says that {_spell(asked)} is outside its file (HTTP 416)", mirror=mirror)
    if status not in {_OK, _PARTIAL}:
        raise bad_status(status, headers, mirror=mirror)
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        raise ContentEncoded(f"{mirror} sent Content-Encoding {encoding[:20]!r}, identity was asked for", mirror=mirror)
    if validator and content_validator(headers) != validator:
        raise FileReplaced(f"{mirror} has replaced the file since this transfer began", mirror=mirror)
    length = content_length(headers)
    if status == _PARTIAL:
        return _judge_partial(headers.get("content-range", ""), length, asked, size=size, mirror=mirror)
    return _judge_whole(headers, length, size=size, mirror=mirror)


def _judge_partial(text: str, length: int | None, asked: ByteRange | None, *, size: int, mirror: str) -> Usable:
    got = parse_content_range(text)
    if asked is None or got is None or (got.start, got.stop) != (asked.start, asked.stop):
        raise RangeMismatch(f"{mirror} answered {_spell(asked)} with Content-Range {text[:60]!r}", mirror=mirror)
    if got.total not in {None, size}:
        raise RangeMismatch(f"{mirror} holds a file of {got.total} bytes where {size} are expected", mirror=mirror)
    if length is not None and length < len(asked):
        raise RangeMismatch(f"{mirror} announces {length} bytes for a range of {len(asked)}", mirror=mirror)
    return Usable(ranged=True, start=asked.start, stop=asked.stop, framed=length == len(asked), total=got.total)


def _judge_whole(headers: Mapping[str, str], length: int | None, *, size: int, mirror: str) -> Usable:
    html = headers.get("content-type", "").strip().lower().startswith(("text/html", "application/xhtml"))
    if html and length != size:
        raise NotTheFile(
            f"{mirror} sent an HTML page instead of the file",
            hint="a captive portal, a login page or a proxy may be in the way",
            mirror=mirror,
        )
    if length not in {None, size}:
        raise RangeMismatch(f"{mirror} holds a file of {length} bytes where {size} are expected", mirror=mirror)
    return Usable(ranged=False, start=0, stop=size, framed=length == size, total=length)


def _spell(asked: ByteRange | None) -> str:
    return f"bytes {asked}" if asked else "a request without Range"


def content_length(headers: Mapping[str, str]) -> int | None:
    """Content-Length in bytes, None if absent, unreadable or overruled by chunked transfer."""
    text = headers.get("content-length", "").strip()
    if "transfer-encoding" in headers or not re.fullmatch(r"[0-9]{1,19}", text):
        return None
    return int(text)


def content_validator(headers: Mapping[str, str]) -> str:
    """What tells two states of one address apart: a strong entity tag, else the date of change, else nothing."""
    tag = headers.get("etag", "").strip()
    return tag if tag.startswith('"') else headers.get("last-modified", "").strip()


def bad_status(status: int, headers: Mapping[str, str], *, mirror: str) -> HTTPStatus:
    """The error for a status that carries no usable body, with the peer's wish to be left alone."""
    error_code = _printable(headers.get("x-error-code", ""))
    said = _printable(headers.get("x-error-message", ""))
    detail = "".join(f", {each}" for each in (error_code, said) if each)
    return HTTPStatus(
        f"{mirror} answered HTTP {status}{detail}",
        status=status,
        retry_after_s=retry_after_s(status, headers),
        error_code=error_code,
        mirror=mirror,
    )


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:200]


def retry_after_s(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds that the peer asks us to stay away, or None; at most RETRY_AFTER_LIMIT_S.

    On 429 the hub's ``RateLimit`` header wins when it says that nothing is left; then Retry-After
    in seconds, then Retry-After as a date, measured against the peer's own ``Date`` so that no
    clock of ours matters.
    """
    left = _RATE_LIMIT.search(headers.get("ratelimit", ""))
    if status == _TOO_MANY and left is not None and int(left[1]) == 0:
        wish: float | None = float(left[2]) + 1  # huggingface_hub sleeps t + 1 as well
    else:
        wish = _retry_after(headers)
    return None if wish is None else min(wish, RETRY_AFTER_LIMIT_S)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        return float(text)
    until, now = epoch_s(text), epoch_s(headers.get("date", ""))
    return max(0.0, until - now) if until is not None and now is not None else None


def epoch_s(http_date: str) -> float | None:
    """An HTTP date as seconds since the epoch, None if it is not one."""
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
