"""Content with or without a range: 200, 206 and 416 as RFC 9110 has them.

Decides the answer's headers; which bytes a Range header means is ``core.asked_range``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.asked_range import asked_range
from chunkdl.testing.answers import Answer, Delivery, Kind

if TYPE_CHECKING:
    from chunkdl.testing.answers import Request
    from chunkdl.testing.hub_repo import HubFile


def ranged_answer(request: Request, file: HubFile, headers: dict[str, str]) -> Answer:
    """Return the answer that delivers what was asked for of ``file``, with ``headers`` besides the usual."""
    etag = f'"{file.digest}"'
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": etag, **headers}
    asked = request.headers.get("range", "")
    if request.headers.get("if-range", etag) != etag:
        asked = ""
    match asked_range(asked, file.size):
        case None:
            return Answer(Kind.CONTENT, file.path, 200, headers, Delivery(file.content, 0, file.size))
        case (start, stop) if start < stop:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
            return Answer(Kind.CONTENT, file.path, 206, headers, Delivery(file.content, start, stop))
    return Answer(Kind.CONTENT, file.path, 416, {"Content-Range": f"bytes */{file.size}"})
