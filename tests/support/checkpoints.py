"""Single files on loopback: a server that has them, their addresses, and settings that put them into a folder."""

from __future__ import annotations

from chunkdl.settings import Settings
from chunkdl.testing import HubRepo, MirrorServer, SeededContent

SIZE = 24 << 20
CONTENT = SeededContent(7, SIZE)
PREFIX = CONTENT.sha256[:8]
NAME = f"resnet18-{PREFIX}.pth"


def server(files=None, **more) -> MirrorServer:
    """A host of single files; faults and shaping as for any mirror."""
    return MirrorServer([HubRepo("pub/files", files or {NAME: CONTENT})], **more)


def url_of(host: MirrorServer, name: str = NAME) -> str:
    return f"{host.url}/pub/files/resolve/main/{name}"


def folder_of(host: MirrorServer) -> str:
    return f"{host.url}/pub/files/resolve/main/"


def settings_for(folder, **more) -> Settings:
    chosen = {"cache_dir": folder / "hub", "torch_dir": folder / "torch" / "hub", "state_dir": folder / "state"}
    return Settings(**(chosen | more))
