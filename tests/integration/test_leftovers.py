"""What a killed or hindered run leaves beside a blob that stands, and what the next run makes of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from chunkdl.process_identity import this_process
from chunkdl.testing import MirrorServer
from chunkdl.transfer.owner_record import OwnerRecord, encode_owner
from chunkdl.transfer.ownership import Owned, Ownership
from tests.support.scene import Scene, assert_placed, small_repo

SIZE = 3 << 20


def blob_of(scene, repo):
    return scene.cache / "models--org--name" / "blobs" / repo.entries["model.safetensors"].digest


def beside(blob):
    return sorted(each.name.removeprefix(blob.name) for each in blob.parent.glob(f"{blob.name}?*"))


def leave_files(blob):
    """As a process that was killed between the blob's rename and the journal's removal."""
    owned = Ownership.acquire(Path(f"{blob}.chunkdl-owner"), lambda: 0.0)
    assert isinstance(owned, Owned)
    Path(f"{blob}.chunkdl-journal").write_bytes(b"")
    Path(f"{blob}.chunkdl-part").write_bytes(b"")
    return owned


def let_die(blob):
    """Rewrite the owner file as that of a process that is gone: this very one, started at another time."""
    dead = OwnerRecord(replace(this_process(), started=1), "nonce", 1)
    Path(f"{blob}.chunkdl-owner").write_bytes(encode_owner(dead))


async def test_what_a_killed_process_left_beside_a_placed_blob_goes_with_the_next_run(tmp_path):
    repo, scene = small_repo(SIZE), Scene(tmp_path)
    async with MirrorServer([repo]) as origin:
        await scene.fetch(settings=scene.settings(origin))
        blob = blob_of(scene, repo)
        leave_files(blob)
        let_die(blob)
        served = origin.bytes_served
        assert_placed(await scene.fetch(settings=scene.settings(origin)), repo)
        assert origin.bytes_served == served
    assert beside(blob) == []


async def test_what_a_living_process_has_beside_a_placed_blob_stays(tmp_path):
    repo, scene = small_repo(SIZE), Scene(tmp_path)
    async with MirrorServer([repo]) as origin:
        await scene.fetch(settings=scene.settings(origin))
        blob = blob_of(scene, repo)
        owned = leave_files(blob)
        assert_placed(await scene.fetch(settings=scene.settings(origin)), repo)
    assert beside(blob) == [".chunkdl-journal", ".chunkdl-owner", ".chunkdl-part"]
    owned.release()


async def test_a_journal_or_owner_file_that_cannot_be_removed_fails_no_placed_content(tmp_path, monkeypatch):
    """Found by failing each call in turn: an EIO there ended as a bug, exit 1, with the blob in place."""
    repo, scene = small_repo(SIZE), Scene(tmp_path)
    real, blob = os.unlink, blob_of(scene, repo)

    def unlink(path, **more):
        if blob.exists() and str(path).endswith((".chunkdl-journal", ".chunkdl-owner")):
            raise OSError(5, "Input/output error", str(path))
        real(path, **more)

    async with MirrorServer([repo]) as origin:
        monkeypatch.setattr(os, "unlink", unlink)
        assert_placed(await scene.fetch(settings=scene.settings(origin)), repo)
        monkeypatch.undo()
        assert beside(blob) == [".chunkdl-journal", ".chunkdl-owner"]
        let_die(blob)
        assert_placed(await scene.fetch(settings=scene.settings(origin)), repo)
    assert beside(blob) == []
