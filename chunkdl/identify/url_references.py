"""What a person types to name one file: ``torch:NAME``, or its address.

Decides which addresses are taken, under which name their file is placed, and whether torch looks for it among its
checkpoints. Deliberately asks nobody whether it exists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from posixpath import basename
from urllib.parse import parse_qsl, quote, urlparse, urlsplit

from chunkdl.core.paths import check_path
from chunkdl.errors import PlacementRefused, PolicyRefused, ReferenceInvalid
from chunkdl.model import Digest, DigestAlgorithm, Hub, Reference
from chunkdl.settings.endpoints import is_loopback

TORCH_HINT = "write torch:resnet50 or torch:resnet50.IMAGENET1K_V1"
_TORCH_NAME = re.compile(r"[a-z]\w*(\.\w+)?", re.IGNORECASE | re.ASCII)
# What torch.load, timm and safetensors read, as publishers end their names; .tar only behind one of the others.
_CHECKPOINT = re.compile(r".+\.(pt|pth|bin|ckpt|th|pkl|pyth|safetensors)(\.tar)?", re.IGNORECASE)
# What an address may hold as it is (RFC 3986); the rest is percent-encoded, as browsers do.
_URL_SAFE = "!#$%&'()*+,/:;=?@[]-._~"
_NO_UNICODE = re.compile(r"[\ud800-\udfff]")  # how Python spells bytes of a command line that are no UTF-8
_HEX = re.compile(r"[0-9a-f]{8,64}")
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Address:
    """An address taken apart: what is requested, the file's name, and the digest that stands in its fragment."""

    url: str
    name: str
    digest: Digest | None = None


def torch_reference(text: str) -> Reference:
    """``torch:NAME``; whether torchvision knows the name is found out when it is asked for.

    Raises:
        ReferenceInvalid: it cannot be a name.
    """
    name = text.strip().partition(":")[2]
    if not _TORCH_NAME.fullmatch(name):
        raise ReferenceInvalid(f"{text}: {name!r} is no name of torchvision's", hint=TORCH_HINT)
    return Reference(text, name, hub=Hub.TORCH)


def url_reference(text: str) -> Reference:
    """An https address of one file, as ``read_address`` takes it; its file's name is the reference's path.

    Raises:
        ReferenceInvalid: it names no file, or says what cannot be obeyed.
        PolicyRefused: it is plain HTTP.
    """
    typed = text.strip()
    address = read_address(typed)
    return Reference(text, address.name, path=address.name, hub=Hub.URL, url=typed)


def read_address(typed: str) -> Address:
    """The parts of ``https://host/path/name?query#sha256=…&name=…``. Raises as ``url_reference``.

    Without ``name=`` the file is called as ``torch.hub`` calls it: the last part of the path, nothing decoded.
    """
    try:
        parts, port_is_sane = urlsplit(typed), urlsplit(typed).port != 0
    except ValueError:
        parts, port_is_sane = urlsplit("https://"), False
    if not parts.hostname or not port_is_sane:
        raise ReferenceInvalid(f"{typed}: no host in the URL")
    if "@" in parts.netloc:
        raise ReferenceInvalid(
            f"{parts.hostname}: a URL with user name or password is refused",
            hint="leave them out; signed URLs are taken",
        )
    if _NO_UNICODE.search(typed):
        raise ReferenceInvalid(f"{typed!a}: holds bytes that are no UTF-8")
    url, _, fragment = typed.partition("#")
    if parts.scheme != "https" and not is_loopback(url):
        raise PolicyRefused(
            f"{shown(url)}: plain HTTP shows and lets everybody on the way change what comes", hint="use https"
        )
    said = _said(typed, fragment)
    name = said.get("name") or basename(urlparse(url).path)
    _check_name(typed, name)
    return Address(quote(url, safe=_URL_SAFE), name, _digest(typed, said.get("sha256")))


def shown(url: str) -> str:
    """An address for messages: what stands behind a question mark may be a secret."""
    base, question, _ = url.partition("#")[0].partition("?")
    return f"{base}?…" if question else base


def is_checkpoint(name: str) -> bool:
    """True for names of files that torch and its libraries keep among their checkpoints."""
    return _CHECKPOINT.fullmatch(name) is not None


def _said(typed: str, fragment: str) -> dict[str, str]:
    said = dict(parse_qsl(fragment, keep_blank_values=True))
    foreign = sorted(set(said) - {"sha256", "name"})
    if foreign or (fragment and not said):
        raise ReferenceInvalid(
            f"{shown(typed)}: nothing is known by #{fragment!a}", hint="#sha256=HEX and #name=FILE may stand there"
        )
    return said


def _check_name(typed: str, name: str) -> None:
    try:
        check_path(name)
        sane = "/" not in name and "\\" not in name
    except PlacementRefused:
        sane = False
    if not sane:
        raise ReferenceInvalid(
            f"{shown(typed)}: {name!a} is no name of a file", hint="name the file with #name=FILE at the end"
        )


def _digest(typed: str, digits: str | None) -> Digest | None:
    if digits is None:
        return None
    if not _HEX.fullmatch(digits.lower()):
        raise ReferenceInvalid(f"{shown(typed)}: #sha256={digits} is no sha256", hint="64 hex digits, or 8 at least")
    return sha256_named(digits.lower())


def sha256_named(digits: str) -> Digest:
    """The sha256 that ``digits`` are, or begin: 8 to 64 of hex in lower case."""
    whole = len(digits) == _SHA256_DIGITS
    return Digest(DigestAlgorithm.SHA256 if whole else DigestAlgorithm.SHA256_PREFIX, digits)
