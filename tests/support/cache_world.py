"""A small model repository and a cache to place it in; ``draw`` shows a cache as text."""

import hashlib
from pathlib import Path

from chunkdl.assemble.digests import hash_bytes
from chunkdl.assemble.layout import HubCache
from chunkdl.assemble.listing import pointer_oid
from chunkdl.assemble.place import place_small, place_snapshot, prepare
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, DigestAlgorithm, Reference, RemoteFile, RepoType

COMMIT = "86b5e0934494bd15c9632b12f734a8a67f723594"
OTHER_COMMIT = "0" * 39 + "1"
ORIGIN = Authority(AuthorityKind.ORIGIN, "https://huggingface.co", authenticated=True)
MIRRORS = Authority(AuthorityKind.MIRRORS, "hf-mirror.com", authenticated=False)


def lfs(path, data):
    digest = Digest(DigestAlgorithm.SHA256, hashlib.sha256(data).hexdigest())
    return RemoteFile(path, len(data), digest, pointer_oid=pointer_oid(digest.hex, len(data)))


def git(path, data):
    name = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return RemoteFile(path, len(data), Digest(DigestAlgorithm.GIT_SHA1, name))


CONTENT = {
    "README.md": b"# a model\n",
    "config.json": b'{"model_type": "bert"}\n',
    "empty.txt": b"",
    "model.safetensors": b"\x00" * 4096,
    "onnx/model.onnx": b"\x01" * 1000,
    "onnx/deep/er/model twin 模型.onnx": b"\x01" * 1000,
}
FILES = tuple((git if len(data) < 100 else lfs)(path, data) for path, data in CONTENT.items())


def files_named(*names):
    return tuple(each for each in FILES if each.path in names)


def artifact(files=FILES, *, commit=COMMIT, revision=None, authority=ORIGIN, repo_type=RepoType.MODEL):
    reference = Reference("org/name", "org/name", repo_type, revision)
    return Artifact(reference, "org/name", commit, tuple(files), authority)


def verified(file, data):
    proof = hash_bytes(data, file.digest)
    assert proof is not None
    return proof


class World:
    """A prepared cache below a folder whose name has spaces and is not ASCII."""

    def __init__(self, folder, repo_id="org/name", repo_type=RepoType.MODEL):
        self.cache = HubCache(Path(folder) / "mein Zwischenspeicher 缓存")
        self.repo = self.cache.repo(repo_type, repo_id)
        prepare(self.cache, self.repo)

    def store(self, files=FILES, content=CONTENT):
        for each in files:
            data = content[each.path]
            place_small(data, verified(each, data), self.repo.blob(each.digest))

    def place(self, files=FILES, what=None, *, write_ref=True, use_symlinks=True):
        return place_snapshot(self.repo, what or artifact(files), files, write_ref=write_ref, use_symlinks=use_symlinks)

    def shown(self, path, commit=COMMIT):
        return self.repo.pointer(commit, path).read_bytes()


def draw(root):
    """Every entry below ``root``: links with their targets, files with their sizes, empty folders."""
    return "".join(f"{line}\n" for line in sorted(_lines(root)))


def _lines(root):
    for each in root.rglob("*"):
        name = each.relative_to(root).as_posix()
        if each.is_symlink():
            yield f"{name} -> {each.readlink()}"
        elif each.is_file():
            yield f"{name} ({each.stat().st_size})"
        elif not any(each.iterdir()):
            yield f"{name}/"
