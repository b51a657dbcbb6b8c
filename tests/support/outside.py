"""Mirrors with names that only a proxy can resolve, and the command run where nothing else leads there."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from urllib.parse import quote

from chunkdl.testing import MirrorServer

ROOT = Path(__file__).resolve().parents[2]
# What this machine's own proxies and trust would change.
_FOREIGN = ("HF_", "CHUNKDL_", "XDG_", "SSL_", "HTTP_", "HTTPS_", "ALL_", "NO_", "http_", "https_", "all_", "no_")


@dataclass(eq=False)
class NamedMirror(MirrorServer):
    """A mirror on loopback that calls itself, and its CDN, by names."""

    _: KW_ONLY
    name: str = "mirror.test"
    cdn_name: str = "cdn.test"

    def _address(self, index: int) -> str:
        scheme, _, rest = super()._address(index).partition("://")
        return f"{scheme}://{self.cdn_name if index else self.name}:{rest.rpartition(':')[2]}"

    @property
    def place(self) -> str:
        """``name:port``, as a proxy's log spells it."""
        return self.url.partition("://")[2]


@contextmanager
def named(repo, name, **options):
    """A running mirror under ``name``; small files come from the hub itself."""
    with NamedMirror([repo], name=name, redirects_small=False, **options).in_thread() as mirror:
        yield mirror


@dataclass(frozen=True)
class Ended:
    """What a run of the command left behind."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


class Traveller:
    """Runs ``chunkdl`` as a process with a home of its own and an environment that says what a test says.

    ``secrets`` must never be printed: every run is searched for them in each spelling that leaks were seen in.
    """

    def __init__(self, home, *secrets, **environ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        own = {"HOME": str(home), "CHUNKDL_STATE_DIR": str(home / "state"), "COLUMNS": "200"}
        self.environ = {**kept, **own, **{name: str(value) for name, value in environ.items()}}
        self.home = home
        self._secrets = secrets

    def run(self, *argv, **environ) -> Ended:
        process = subprocess.run(
            [sys.executable, "-m", "chunkdl", *argv],
            cwd=self.home,
            env={**self.environ, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in environ.items()}},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        ended = Ended(process.returncode, process.stdout, process.stderr)
        self.check(ended.said)
        return ended

    def check(self, text) -> None:
        for secret in self._secrets:
            for spelling in spellings(secret):
                assert spelling not in text, f"{secret!r} is told as {spelling!r} in:\n{text}"


def spellings(secret: str) -> set[str]:
    """As it is, quoted for a URL, and in base64 (at every offset that a longer text would give it)."""
    coded = {base64.b64encode(b"\0" * shift + secret.encode())[(shift and 4) : -4].decode() for shift in range(3)}
    return {secret, quote(secret, safe=""), repr(secret)[1:-1], *(each for each in coded if each)}
