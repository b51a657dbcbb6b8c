"""Small answers read whole: API documents, never file content.

Decides how much of one is taken and undoes its compression; deliberately does not read its meaning.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from chunkdl.core.response import content_length
from chunkdl.errors import BodyCutShort, ContentEncoded, MirrorMisbehaved
from chunkdl.http.failures import READ_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp


# security.md §3: a tree of the largest known repositories is ~10 MB; 64 MiB bounds a hostile one.
MAX_METADATA_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class MetadataAnswer:
    """One whole answer.

    Args:
        status: HTTP status; any, since a 404 is an answer too.
        headers: case-insensitive; repeated headers are joined by a comma.
        body: decompressed.
        url: the URL that answered, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


async def read_metadata(response: aiohttp.ClientResponse, *, url: str, max_bytes: int, mirror: str) -> MetadataAnswer:
    """Read and decompress an answer of at most ``max_bytes``; the caller bounds the time.

    Raises:
        MirrorMisbehaved: it is longer, or does not decompress.
        ContentEncoded: neither identity nor gzip.
        BodyCutShort: the connection ended first.
    """
    raw = await _read_capped(response, max_bytes=max_bytes, mirror=mirror)
    body = _decoded(raw, response.headers.get("content-encoding", ""), max_bytes=max_bytes, mirror=mirror)
    return MetadataAnswer(response.status, _joined(response.headers), body, url)


def headers_of(response: aiohttp.ClientResponse, *, url: str) -> MetadataAnswer:
    """The answer without its body, which the caller disposes of."""
    return MetadataAnswer(response.status, _joined(response.headers), b"", url)


async def _read_capped(response: aiohttp.ClientResponse, *, max_bytes: int, mirror: str) -> bytes:
    if response.method != "HEAD" and (content_length(response.headers) or 0) > max_bytes:
        raise _too_long(mirror, max_bytes)
    parts: list[bytes] = []
    taken = 0
    try:
        while part := await response.content.readany():
            parts.append(part)
            taken += len(part)
            if taken > max_bytes:
                raise _too_long(mirror, max_bytes)
    except READ_ERRORS as error:
        raise BodyCutShort(f"{mirror} ended an answer after {taken} bytes", mirror=mirror) from error
    return b"".join(parts)


def _too_long(mirror: str, max_bytes: int) -> MirrorMisbehaved:
    return MirrorMisbehaved(f"{mirror} sent an answer of more than {max_bytes} bytes", mirror=mirror)


def _decoded(raw: bytes, encoding: str, *, max_bytes: int, mirror: str) -> bytes:
    kind = encoding.strip().lower()
    if kind in {"", "identity"} or not raw:
        return raw
    if kind not in {"gzip", "x-gzip"}:
        raise ContentEncoded(f"{mirror} sent Content-Encoding {kind[:20]!r}, gzip was offered", mirror=mirror)
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: a gzip header
    try:
        body = inflater.decompress(raw, max_bytes + 1)
    except zlib.error as error:
        raise MirrorMisbehaved(f"{mirror} sent an answer that does not decompress", mirror=mirror) from error
    if len(body) > max_bytes:
        raise _too_long(mirror, max_bytes)
    if not inflater.eof:
        raise BodyCutShort(f"{mirror} ended a compressed answer early", mirror=mirror)
    return body


def _joined(headers: Mapping[str, str]) -> CIMultiDict[str]:
    joined: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
