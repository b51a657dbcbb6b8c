"""What an error's body says to people, in one short line.

Decides from the body alone. Deliberately takes single fields and never whole bodies: object stores repeat in them
what they were asked with, signatures included.
"""

from __future__ import annotations

import json
import re

# A reason is a sentence; more belongs into nobody's terminal.
_MAX_LENGTH = 120
# The fields in which S3, GCS, OSS (XML), CloudFront (XML, HTML) and hubs (JSON) say why.
_XML = re.compile(r"<(Code|Message)>([^<]*)</\1>")
_TITLE = re.compile(r"<title>([^<]*)</title>", re.IGNORECASE)
_JSON_KEYS = ("error", "message", "detail")
_SIGNED = re.compile(r"\?\S*|[A-Za-z0-9+/=%_-]{40,}")


def refusal_text(body: bytes, content_type: str) -> str:
    """Why a request was refused; empty if the body does not say it in a place that is known."""
    text = body.decode("utf-8", "replace")
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith("json"):
        found = _of_json(text)
    elif kind == "text/plain":
        found = text.strip().partition("\n")[0]
    else:
        found = ": ".join(match[2] for match in _XML.finditer(text)) or _first(_TITLE, text)
    return _presentable(found)


def _of_json(text: str) -> str:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(values, dict):
        return ""
    return next((said for key in _JSON_KEYS if isinstance(said := values.get(key), str)), "")


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""


def _presentable(text: str) -> str:
    """One printable line in which nothing long or after a question mark stands: that is where secrets are."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return _SIGNED.sub("…", line)[:_MAX_LENGTH]
