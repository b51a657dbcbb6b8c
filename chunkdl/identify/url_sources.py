"""Which mirrors may have a single file, and under which address there.

Decides by the settings alone: a mirror that stands in for the beginning of the address, or one that was typed for
this command. Addresses with a query are told to nobody else: what stands there is often a signature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from chunkdl.model import Mirror, MirrorKind
from chunkdl.settings.declared import ANY_ADDRESS
from chunkdl.settings.endpoints import netloc_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.settings import Settings


def own_host(url: str, settings: Settings) -> Mirror:
    """The host of the address itself as a source; nobody's token belongs to it."""
    base = f"{urlsplit(url).scheme}://{netloc_of(url)}"
    taken = {each.name for each in settings.url_mirrors}
    name = netloc_of(url)
    if name in taken:
        name = f"{name} (the URL's own)"
    return Mirror(base, name=name, kind=MirrorKind.STATIC, first_byte_s=settings.first_byte_s)


def copies_of(url: str, mirrors: Sequence[Mirror]) -> list[tuple[Mirror, str]]:
    """Where else the file at ``url`` may lie: each mirror with the file's address there, in the mirrors' order."""
    if "?" in url:
        return []
    found = ((each, _address_on(each, url)) for each in mirrors)
    return [(mirror, address) for mirror, address in found if address and address != url]


def _address_on(mirror: Mirror, url: str) -> str:
    if mirror.replaces == ANY_ADDRESS:
        return _by_name(mirror.url, url.rpartition("/")[2])
    if mirror.replaces and url.startswith(mirror.replaces):
        return f"{mirror.url}/{url.removeprefix(mirror.replaces)}"
    return ""


def _by_name(template: str, name: str) -> str:
    """Below the mirror's folder, or where ``{path}`` stands; a template for repositories has no place for it."""
    if "{repo}" in template or "{revision}" in template:
        return ""
    return template.replace("{path}", quote(name, safe="%")) if "{path}" in template else f"{template}/{name}"
