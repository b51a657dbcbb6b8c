"""What huggingface_hub keeps to know about a commit besides its files: the tree and the gaps.

``trees/<commit>.json`` is the whole listing (``_tree_cache.py`` of 2.4): beside a snapshot that lacks
one of its files, loaders lose named chat templates without a word. ``.no_exist/<commit>/<path>`` says
that a path is not in the commit. Decides how both are spelt. Deliberately does not decide when they
may be written: ``snapshot`` does.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from chunkdl.core.paths import check_path
from chunkdl.errors import PlacementRefused
from chunkdl.model import Digest, DigestAlgorithm, RemoteFile, RepoType

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FORMAT_VERSION = 1
_XET_HASH = re.compile(r"[0-9a-f]{64}")

# What transformers 5.23 asks for and can do without: the markers that it left in a cache itself when a tiny
# BERT was loaded from a loopback hub (models, tokenizers, processors; each file missing in turn), and what it
# asks for when peft is installed. One marker saves one HEAD request on a later load with network.
_PROBED = (
    "adapter_config.json",
    "added_tokens.json",
    "additional_chat_templates/chat_template.jinja",
    "chat_template.jinja",
    "generation_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
)


def pointer_oid(sha256_hex: str, size: int) -> str:
    """Git's name for the text that stands in the repository in place of an LFS file.

    Source: the git-lfs pointer specification, v1: three lines in this order, each with its newline.
    """
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256_hex}\nsize {size}\n"
    return hashlib.sha1(f"blob {len(text)}\0{text}".encode(), usedforsecurity=False).hexdigest()


def encode_tree(files: Iterable[RemoteFile]) -> bytes:
    """The bytes that huggingface_hub 2.4 writes for this listing, down to the indentation."""
    entries = {each.path: _tree_entry(each) for each in sorted(files, key=lambda each: each.path)}
    return json.dumps({"format_version": _FORMAT_VERSION, "files": entries}, indent=1).encode()


def _tree_entry(file: RemoteFile) -> dict[str, object]:
    entry: dict[str, object] = {"size": file.size, "blob_id": file.digest.hex}
    if file.digest.algorithm is DigestAlgorithm.SHA256:
        entry["blob_id"] = file.pointer_oid or pointer_oid(file.digest.hex, file.size)
        entry |= {"lfs_sha256": file.digest.hex, "lfs_size": file.size}
    # The hub redacts some hashes; the tree would be ignored as a whole if one of them stood in it.
    if file.xet_hash is not None and _XET_HASH.fullmatch(file.xet_hash):
        entry["xet_hash"] = file.xet_hash
    return entry


def read_tree(path: Path) -> tuple[RemoteFile, ...] | None:
    """The listing in a tree file, in its order; None if there is none that can be believed to be whole."""
    try:
        data = json.loads(path.read_bytes())
        if data["format_version"] != _FORMAT_VERSION:
            return None
        return tuple(_read_entry(name, entry) for name, entry in data["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, PlacementRefused):
        return None  # a listing that somebody else damaged is worth as much as none


def _read_entry(name: str, entry: dict[str, Any]) -> RemoteFile:
    check_path(name)
    xet_hash = entry.get("xet_hash")
    if "lfs_sha256" in entry:
        digest = Digest(DigestAlgorithm.SHA256, entry["lfs_sha256"])
        return RemoteFile(name, int(entry["lfs_size"]), digest, pointer_oid=entry["blob_id"], xet_hash=xet_hash)
    return RemoteFile(name, int(entry["size"]), Digest(DigestAlgorithm.GIT_SHA1, entry["blob_id"]), xet_hash=xet_hash)


def absent_paths(repo_type: RepoType, files: Iterable[RemoteFile]) -> tuple[str, ...]:
    """What loaders look for in a model and this listing does not have; nothing for other kinds."""
    if repo_type is not RepoType.MODEL:
        return ()
    there = {each.path for each in files}
    return tuple(path for path in _PROBED if path not in there)
