"""Caches with whatever a test puts into them: repositories, checkpoints, transfers that were begun."""

import hashlib
import os

from chunkdl.assemble.digests import hash_bytes
from chunkdl.assemble.layout import HubCache
from chunkdl.assemble.place import place_small, place_snapshot, prepare
from chunkdl.caches.checkpoints import scan_torch
from chunkdl.caches.scanning import scan_hub
from chunkdl.caches.seen import CachesSeen
from chunkdl.core.journal_codec import Header, Record, encode_header, encode_record
from chunkdl.model import Artifact, ByteRange, Digest, DigestAlgorithm, Reference, RepoType
from chunkdl.process_identity import ProcessIdentity, this_process
from chunkdl.transfer.owner_record import OwnerRecord, encode_owner
from tests.support.cache_world import MIRRORS, git, lfs

DAY_S = 86_400.0


def commit(number):
    return f"{number:040x}"


class Caches:
    """A hub's cache and a torch folder below one folder."""

    def __init__(self, folder):
        self.hub = folder / "hf" / "hub"
        self.torch = folder / "torch" / "hub" / "checkpoints"

    def repo(self, repo_id, repo_type=RepoType.MODEL):
        return HubCache(self.hub).repo(repo_type, repo_id)

    def place(self, repo_id, files, number=1, *, ref="main", repo_type=RepoType.MODEL, use_symlinks=True):
        """Show ``files`` (path → bytes) as a commit, as a fetch would; ``ref`` None for a pinned one."""
        cache, repo = HubCache(self.hub), self.repo(repo_id, repo_type)
        prepare(cache, repo)
        listed = [(git if len(data) < 100 else lfs)(path, data) for path, data in files.items()]
        for each in listed:
            place_small(files[each.path], hash_bytes(files[each.path], each.digest), repo.blob(each.digest))
        if ref is not None:
            repo.ref(ref).unlink(missing_ok=True)
        reference = Reference(repo_id, repo_id, repo_type, ref or commit(number))
        artifact = Artifact(reference, repo_id, commit(number), tuple(listed), MIRRORS)
        place_snapshot(repo, artifact, listed, write_ref=True, use_symlinks=use_symlinks)
        return repo

    def drop_ref(self, repo_id, ref="main"):
        self.repo(repo_id).ref(ref).unlink()

    def begin(self, repo_id, data, held, *, owner=None, age_s=0.0):
        """A part file with its journal, ``held`` bytes of ``data`` in it; returns the part's path."""
        repo = self.repo(repo_id)
        prepare(HubCache(self.hub), repo)
        digest = Digest(DigestAlgorithm.SHA256, hashlib.sha256(data).hexdigest())
        repo.part(digest).write_bytes(data[:held] + bytes(len(data) - held))
        record = Record(ByteRange(0, held), bytes(16), "host:443")
        repo.journal(digest).write_bytes(encode_header(Header(digest, len(data), 4 << 20)) + encode_record(record))
        if owner is not None:
            repo.owner(digest).write_bytes(encode_owner(OwnerRecord(owner, "nonce", 1)))
        for each in (repo.part(digest), repo.journal(digest), repo.owner(digest)):
            if each.exists():
                age(each, age_s)
        return repo.part(digest)

    def checkpoint(self, stem, data, *, prefix=None):
        self.torch.mkdir(parents=True, exist_ok=True)
        prefix = prefix or hashlib.sha256(data).hexdigest()[:8]
        path = self.torch / f"{stem}-{prefix}.pth"
        path.write_bytes(data)
        return path

    def seen(self):
        repos, strange = scan_hub(self.hub)
        checkpoints, partials = scan_torch(self.torch)
        return CachesSeen(self.hub, self.torch, repos, checkpoints, partials, strange)

    def names(self, repo_id):
        """Everything below a repository's folder that is no folder."""
        folder = self.repo(repo_id).path
        return sorted(
            each.relative_to(folder).as_posix() for each in folder.rglob("*") if not each.is_dir() or each.is_symlink()
        )


def age(path, age_s):
    """Let a file's times lie so far back; the time of its inode's change cannot be set."""
    at = path.stat().st_mtime - age_s
    os.utime(path, (at, at), follow_symlinks=False)


def living():
    """This very process, as an owner."""
    return this_process()


def dead():
    """A process that surely is no more: ours, if it had begun at another time."""
    me = this_process()
    return ProcessIdentity(me.host, me.boot, me.pid, (me.started or 0) + 1)


def stranger():
    """A process of another host."""
    return ProcessIdentity("elsewhere", "boot/ns", 7, 7)
