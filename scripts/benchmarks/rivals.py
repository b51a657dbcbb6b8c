"""The command lines that are compared, each told to do the same job as well as it can."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

REPO = "bench/model"
FILE = "model.safetensors"
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR")


@dataclass(frozen=True)
class Job:
    """One file on some mirrors (the first is also the hub), to be put below ``home``."""

    urls: Sequence[str]
    commit: str
    sha256: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the user's own settings; Xet off, since no mirror here speaks it."""
        return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
            "HOME": str(self.home),
            "HF_HOME": str(self.home),
            "HF_ENDPOINT": self.urls[0],
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "CHUNKDL_STATE_DIR": str(self.home / "state"),
        }


def chunkdl(job: Job) -> list[str]:
    """Every mirror at once; proves every file and places it in the cache."""
    mirrors = [part for url in job.urls[1:] for part in ("--mirror", url)] or ["--no-mirrors"]
    command = [str(Path(sys.executable).parent / "chunkdl"), "fetch", REPO, "--origin", job.urls[0], *mirrors]
    return [*command, "--format", "all", "--progress", "none", "--quiet"]


def limited_fetch(job: Job, limit: int) -> list[str]:
    """The same under a limit."""
    return [*chunkdl(job), "--limit-rate", str(limit)]


def limited_batch(job: Job, limit: int) -> list[str]:
    """The same as a batch of one job."""
    program = str(Path(sys.executable).parent / "chunkdl")
    manifest = job.home / "night.toml"
    mirrors = ", ".join(f'"{url}"' for url in job.urls[1:])
    sources = f'origin = "{job.urls[0]}"\nmirrors = [{mirrors}]\nbwlimit = "{limit // 1024}k"\n'
    manifest.write_text(f'[batch]\n{sources}\n[[model]]\nref = "{REPO}"\nformat = "all"\n', encoding="utf-8")
    return ["sh", "-ec", f"{program} batch add -q {manifest} && exec {program} batch run -q"]


def hf(program: str, job: Job) -> list[str]:
    """huggingface_hub's own client: one endpoint, one connection a file, sizes checked, no digest."""
    return [program, "download", REPO, "--quiet", "--cache-dir", str(job.home / "hub")]


def aria2c(job: Job, *, prove: bool, timeout_s: int = 60) -> list[str]:
    """aria2 with as many connections as helped in trials; with ``prove`` it hashes the file at the end."""
    urls = [f"{url}/{REPO}/resolve/{job.commit}/{FILE}" for url in job.urls]
    split = str(8 * len(urls))
    flags = ["--max-connection-per-server=8", f"--split={split}", "--min-split-size=1M", "--file-allocation=none"]
    check = [f"--checksum=sha-256={job.sha256}"] if prove else []
    patience = [f"--timeout={timeout_s}", f"--connect-timeout={min(timeout_s, 10)}"]
    return ["aria2c", "--quiet", "--no-conf", *flags, *check, *patience, f"--dir={job.home}", f"--out={FILE}", *urls]
