"""A fetch through the whole pipeline from mirrors on loopback, in one call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from chunkdl.api import FetchOptions, run_fetch
from chunkdl.settings import Settings, mirror_at
from chunkdl.testing import HubRepo, SeededContent

SIZE = 24 << 20  # several leases and segments, a tenth of a second on loopback
# Alone a mirror would need six seconds: time for another one to be found and asked on a busy machine.
SHARED = {"rate_bytes_per_s": SIZE // 6}


def small_repo(size: int = SIZE, **more) -> HubRepo:
    files = {
        "config.json": b'{"model_type": "bert"}',
        "model.safetensors": SeededContent(11, size),
        "nested/dir/notes.txt": b"notes",
        "empty.txt": b"",
        **more,
    }
    return HubRepo("org/name", files)


@dataclass
class Scene:
    """Where a fetch of a test puts things, and what it was told."""

    folder: Path
    watched: list = field(default_factory=list)

    @property
    def cache(self) -> Path:
        return self.folder / "hub"

    def settings(self, origin, *mirrors, **more) -> Settings:
        return Settings(
            origin=mirror_at(origin.url, is_origin=True),
            mirrors=tuple(mirror_at(mirror.url) for mirror in mirrors),
            cache_dir=self.cache,
            state_dir=self.folder / "state",
            **more,
        )

    async def fetch(self, *references, settings, **options):
        run = run_fetch(references or ["org/name"], FetchOptions(**options), settings, self.watched.append)
        return await asyncio.wait_for(run, 100)

    def told(self, kind) -> list:
        return [event for event in self.watched if isinstance(event, kind)]

    def litter(self) -> list[str]:
        """Everything below the cache that is no folder."""
        return sorted(str(path.relative_to(self.cache)) for path in self.cache.rglob("*") if not path.is_dir())


def assert_placed(report, repo: HubRepo, index: int = 0) -> Path:
    """Every file of the result is where it should be, byte for byte."""
    result = report.results[index]
    assert result.ok, result.error
    snapshot = Path(result.path)
    for file in result.files:
        entry = snapshot / file.path
        content = repo.files[file.path]
        data = entry.read_bytes()
        assert len(data) == file.size
        if isinstance(content, SeededContent):
            assert content.first_difference(data) is None, f"{file.path} differs"
        else:
            assert data == bytes(content), f"{file.path} differs"
        assert str(entry.readlink()).startswith("../../")
    return snapshot
