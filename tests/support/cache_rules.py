"""What must be true of a cache whatever happened to the processes that wrote it: nothing wrong under a final name.

Our own reading of the layout that huggingface_hub scans, without it: ``broken_rules`` says what is against it.
"""

import hashlib
import os
import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}")
_BLOB = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
_OURS = re.compile(r".+\.chunkdl-(?:part|journal|owner)(?:\.\d+)?|.+\.chunkdl-new")
_ROOT = re.compile(r"\.locks|CACHEDIR\.TAG|(?:models|datasets|spaces)--.+")
_REPO = frozenset({"blobs", "refs", "snapshots", "trees", ".no_exist"})


def broken_rules(hub, repo=None, *, finished=False):
    """One line for each thing that is wrong in the cache at ``hub``; ``repo`` is what ``org/name`` must hold.

    A cache in which a command has ended well is ``finished``: everything is there, nothing is left over.
    """
    if not hub.exists():
        return ["no cache"] if finished else []
    found = [f"foreign in the root: {each.name}" for each in hub.iterdir() if not _ROOT.fullmatch(each.name)]
    for folder in hub.glob("*--*"):
        found += _of_repo(folder)
    if repo is not None:
        found += _of_content(hub / "models--org--name", repo, finished=finished)
    return found


def half_made(folder):
    """What was being written below ``folder``."""
    return sorted(each.name for each in folder.rglob("*.chunkdl-new"))


def _of_repo(folder):
    names = {each.name for each in folder.iterdir()}
    yield from (f"foreign in {folder.name}: {name}" for name in names - _REPO)
    if names and "snapshots" not in names:  # an empty folder of a process killed between two mkdirs is all it may be
        yield f"{folder.name} has no snapshots folder"
    for blob in sorted((folder / "blobs").glob("*")):
        yield from _of_blob(blob)
    for ref in sorted(each for each in (folder / "refs").rglob("*") if not each.is_dir()):
        commit = ref.read_bytes().decode()
        if not _COMMIT.fullmatch(commit):
            yield f"{ref} says {commit!r}"
        elif not any(each.is_symlink() or each.is_file() for each in (folder / "snapshots" / commit).rglob("*")):
            yield f"{ref} names a commit that is not there"
    for link in sorted((folder / "snapshots").rglob("*")):
        if link.is_symlink() and not link.exists():
            yield f"{link} leads to nothing: {link.readlink()}"


def _of_blob(blob):
    if _OURS.fullmatch(blob.name):
        return
    if not _BLOB.fullmatch(blob.name):
        yield f"foreign in blobs: {blob.name}"
        return
    data = blob.read_bytes()
    header = b"" if len(blob.name) == 64 else b"blob %d\0" % len(data)
    digest = (hashlib.sha256 if len(blob.name) == 64 else hashlib.sha1)(header + data).hexdigest()
    if digest != blob.name:
        yield f"WRONG BYTES under the final name {blob.name}"


def _of_content(folder, repo, *, finished):
    snapshot = folder / "snapshots" / repo.commit
    shown = {each for each in repo.entries if os.path.lexists(snapshot / each)}
    for path in sorted(shown):
        blob = Path(os.path.realpath(snapshot / path)).name
        if blob != repo.entries[path].digest:
            yield f"{path} leads to {blob}"
    ref = folder / "refs" / "main"
    tree = folder / "trees" / f"{repo.commit}.json"
    lacking = sorted(set(repo.entries) - shown)
    if lacking and (ref.exists() or tree.exists()):
        yield f"a ref or tree without {lacking}"
    if finished:
        yield from (f"left over: {each.name}" for each in (folder / "blobs").glob("*.chunkdl-*"))
        if not ref.exists():
            yield "no ref"
