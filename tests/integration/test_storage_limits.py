"""Disks that are too small, full in the middle, or read-only: mounted for the test alone, in a mount namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from chunkdl.testing import MirrorServer
from tests.support.scene import small_repo

SIZE = 24 << 20


def fetch_on(mount: str, folder, url: str, *flags: str, before: str = "true") -> subprocess.CompletedProcess:
    """Run a fetch whose cache lies on a file system of its own, gone when the command ends."""
    command = (
        f'mount -t tmpfs -o "$MOUNT" chunkdl-test "$CACHE"; trap \'umount "$CACHE"\' EXIT; {before}; '
        '"$PYTHON" -m chunkdl fetch org/name --origin "$URL" --no-mirrors --json '
    ) + " ".join(flags)
    environ = {
        **os.environ,
        "MOUNT": mount,
        "CACHE": str(folder),
        "PYTHON": sys.executable,
        "URL": url,
        "HF_HUB_CACHE": str(folder / "hub"),
        "CHUNKDL_STATE_DIR": str(folder.parent / "state"),
    }
    return subprocess.run(
        [*own_mounts(), "sh", "-ec", command], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def own_mounts() -> list[str]:
    """What runs a command with mounts of its own; in a chroot the root is no mount whose propagation could change."""
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    works = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if works else [*command, "--propagation", "unchanged"]


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "mounted"
    folder.mkdir()
    return folder


def error_of(done: subprocess.CompletedProcess) -> dict:
    answer = json.loads(done.stdout)
    assert answer["exit_code"] == done.returncode, done.stderr
    return answer["results"][0]["error"]


def test_a_plan_that_cannot_fit_is_refused_before_the_first_byte_with_both_numbers(cache):
    with MirrorServer([small_repo(SIZE)]).in_thread() as origin:
        done = fetch_on("size=8m", cache, origin.url)
        assert done.returncode == 6, done.stderr
        assert origin.bytes_served == 0
    error = error_of(done)
    assert error["code"] == "disk-full"
    assert str(SIZE + 27) in error["message"], "needed"
    assert str(8 << 20) in error["message"], "free"


def test_a_disk_that_fills_in_the_middle_ends_in_6_and_says_so(cache):
    with MirrorServer([small_repo(SIZE)]).in_thread() as origin:
        done = fetch_on("size=8m", cache, origin.url, "--no-space-check")
    assert done.returncode == 6, done.stderr
    error = error_of(done)
    assert error["code"] == "disk-full"
    assert error["hint"]


def test_a_read_only_cache_ends_in_6_and_names_the_folder(cache):
    with MirrorServer([small_repo(SIZE)]).in_thread() as origin:
        done = fetch_on("size=64m", cache, origin.url, before='mount -o remount,ro "$CACHE"')
    assert done.returncode == 6, done.stderr
    assert str(cache) in error_of(done)["message"]
