"""A real squid as the proxy of a network that lets nobody out without a password.

It alone knows the names of the test's hosts: whoever asks it for one need not, and cannot, resolve it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from support.asking import ask
from support.programs import found, looks, serving

USER, PASSWORD = "traveller", "open,sesame@8/"  # every character that a URL must quote
QUOTED = "traveller:open%2Csesame%408%2F"
FORBIDDEN = "forbidden.test"

# What nobody but this module asks for.
_MARK = "http://mark.test/"
_numbers = count()

_NCSA_AUTH = "/usr/lib/squid/basic_ncsa_auth"
_CONFIG = """
http_port 127.0.0.1:{port}
https_port 127.0.0.1:{tls_port} tls-cert={folder}/proxy.pem tls-key={folder}/proxy.pem
auth_param basic program {ncsa_auth} {folder}/passwords
auth_param basic children 1 startup=1 idle=1
acl known proxy_auth REQUIRED
acl closed dstdomain {forbidden}
http_access deny !known
http_access deny closed
http_access allow all
hosts_file {folder}/hosts
dns_nameservers 127.0.0.1
dns_timeout 1 second
logformat asked %>Hs %rm %ru %un %{{Authorization}}>h
access_log stdio:{folder}/access.log asked
buffered_logs off
cache_log {folder}/cache.log
pid_filename {folder}/squid.pid
coredump_dir {folder}
pinger_enable off
cache deny all
cache_mem 1 MB
max_filedescriptors 1024
shutdown_lifetime 0 seconds
forwarded_for delete
"""


@dataclass(frozen=True)
class Asked:
    """One line of squid's access log."""

    status: int
    method: str
    target: str
    user: str
    authorization: str = "-"


@dataclass(frozen=True)
class Squid:
    folder: Path
    port: int
    tls_port: int

    def url(self, credentials: str = QUOTED, *, tls: bool = False) -> str:
        """The proxy's address as HTTPS_PROXY spells it."""
        place = f"127.0.0.1:{self.tls_port if tls else self.port}"
        return f"{'https' if tls else 'http'}://{f'{credentials}@' if credentials else ''}{place}"

    def asked(self) -> list[Asked]:
        """Everything that has been asked and has ended so far.

        squid writes a line when a request has ended, and a tunnel's when that is closed. A request of our own, which
        it refuses, comes after all of them: once that has its line, so have they.
        """
        mark = f"{_MARK}{next(_numbers)}"
        ask(self.url(""), mark)
        marked = next(lines for lines in looks(self._lines) if any(each.target == mark for each in lines))
        return [each for each in marked if not each.target.startswith(_MARK)]

    def until(self, place: str, after: int = 0) -> list[Asked]:
        """What was asked after the first so many, as soon as ``place`` (name:port) was reached."""
        return next(lines[after:] for lines in looks(self.asked) if any(map(at(place), lines[after:])))

    def _lines(self) -> list[Asked]:
        whole = (self.folder / "access.log").read_text().rpartition("\n")[0].splitlines()
        return [Asked(int(status), *rest) for status, *rest in (line.split(maxsplit=4) for line in whole)]


def at(place: str):
    """Whether somebody has reached ``place``, by a tunnel or with a plain request."""
    return lambda asked: asked.status == 200 and place in asked.target


@contextmanager
def squid(names, certificate):
    """A running squid that finds ``names`` on loopback and shows ``certificate`` (a trustme leaf) on its TLS port."""
    program, folder = found("squid"), Path(tempfile.mkdtemp(prefix="chunkdl-squid-"))
    try:
        (folder / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in names))
        # squid takes an unsalted MD5 too; its crypt() forms would need a library.
        digest = hashlib.md5(PASSWORD.encode(), usedforsecurity=False).hexdigest()
        (folder / "passwords").write_text(f"{USER}:{digest}\n")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "proxy.pem")
        (folder / "access.log").touch()
        account = _account(folder)

        def start(port, tls_port):
            values = {"folder": folder, "ncsa_auth": _NCSA_AUTH, "forbidden": FORBIDDEN}
            (folder / "squid.conf").write_text(_CONFIG.format(port=port, tls_port=tls_port, **values))
            with (folder / "stderr").open("ab") as stderr:
                command = [program, "-N", "-n", f"chunkdl{port}", "-f", str(folder / "squid.conf")]
                return subprocess.Popen(command, cwd=folder, stderr=stderr, stdout=stderr, **account)

        with serving(start, 2) as ports:
            yield Squid(folder, *ports)
    finally:
        shutil.rmtree(folder)


def _account(folder) -> dict:
    """Nobody's account for a squid that root starts, which then may write into its folder and nowhere else."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
