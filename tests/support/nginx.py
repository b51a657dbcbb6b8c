"""Real nginx instances as mirrors: what a stock server says about ranges, conditions and limits is not ours to invent.

A missing nginx is a failure, never a skip: ``scripts/install`` brings it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from urllib.parse import quote

from chunkdl.testing.content import PathContent

TEMPLATES = Path(__file__).resolve().parents[2] / "fixtures" / "nginx"
# nginx answers within milliseconds of its start; a machine busy with other tests may take seconds.
LIMIT_S = 20.0
_PIECE_BYTES = 4 << 20


@dataclass(frozen=True)
class NginxRequest:
    method: str
    uri: str
    status: int
    body_bytes: int
    range: str
    authorization: str


@dataclass
class NginxMirror:
    """One nginx that speaks the hub's protocol for some repositories (public ones; listings in one page).

    ``options`` are further directives for the server block. Start many with ``nginx_mirrors``.
    """

    repos: list
    folder: Path
    _: KW_ONLY
    per_connection_bytes_per_s: int | None = None
    max_connections: int | None = None
    ranges: bool = True
    etag: bool = True
    gzip: bool = False
    options: tuple[str, ...] = ()
    store: Path | None = None  # where generated contents are kept, to share them between mirrors
    port: int = field(default=0, init=False)
    process: subprocess.Popen | None = field(default=None, init=False, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        """Start nginx on a socket that is already bound, so that no two instances race for a port."""
        (self.folder / "temp").mkdir(parents=True, exist_ok=True)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(512)
            self.port = listener.getsockname()[1]
            self._write_config()
            self.process = subprocess.Popen(
                [_nginx(), "-c", self.folder / "nginx.conf", "-p", self.folder, "-e", self.folder / "error.log"],
                env={**os.environ, "NGINX": f"{listener.fileno()};"},
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # master and worker can be stopped and continued together
            )
        try:
            self._await_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def stop(self) -> None:
        """End nginx, dropping every connection."""
        if self.process is not None:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Go silent: connections stay open and new ones are accepted by the kernel, but nothing is answered."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after ``freeze``."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this nginx, master and worker."""
        os.killpg(self.process.pid, number)

    def requests(self) -> list[NginxRequest]:
        """Every request that has been answered to its end so far."""
        lines = (self.folder / "access.log").read_text().splitlines()
        fields = (line.split("|") for line in lines)
        return [NginxRequest(m, uri, int(s), int(n), rng, auth) for m, uri, s, n, rng, auth in fields]

    def bytes_served(self) -> int:
        """Body bytes of everything below ``/resolve/``."""
        return sum(each.body_bytes for each in self.requests() if "/resolve/" in each.uri and each.status in (200, 206))

    def _await_answer(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request("GET", "/api/agent-harnesses")
            connection.getresponse().read()
        except OSError as failure:
            log = (self.folder / "error.log").read_text()[-2000:]
            raise AssertionError(
                f"nginx did not answer on port {self.port}: {failure}; its log ends: {log}"
            ) from failure
        finally:
            connection.close()

    def _write_config(self) -> None:
        text = _filled(
            "mirror.conf",
            FOLDER=self.folder,
            USER="user root root;" if os.geteuid() == 0 else "# user: only root may change it",
            PORT=self.port,
            OPTIONS="\n        ".join(self._directives()),
            LOCATIONS="\n".join(self._locations()),
        )
        (self.folder / "nginx.conf").write_text(text)

    def _directives(self):
        if self.per_connection_bytes_per_s is not None:
            yield f"limit_rate {self.per_connection_bytes_per_s};"
        if self.max_connections is not None:
            yield f"limit_conn mirror {self.max_connections};"
        if not self.ranges:
            yield "max_ranges 0;"
        if not self.etag:
            yield "etag off;"
        if self.gzip:
            yield "gzip on; gzip_types application/octet-stream;"
        yield from self.options

    def _locations(self):
        for repo in self.repos:
            if repo.canonical_id not in (None, repo.repo_id):
                yield from self._moved(repo)
            for version in (repo, *repo.older):
                for revision in (version.commit, *version.branches, *version.tags):
                    yield from self._revision(repo, version, revision)
            api = f"/api/{repo.repo_type.plural}/{repo.id}"
            yield self._metadata(api, repo.info(blobs=True))
            yield self._metadata(f"{api}/refs", repo.refs())

    def _revision(self, repo, version, revision):
        api = f"/api/{repo.repo_type.plural}/{repo.id}"
        yield self._metadata(f"{api}/revision/{revision}", version.info(blobs=True))
        yield self._metadata(f"{api}/tree/{revision}", version.tree())
        for file in version.entries.values():
            yield _filled(
                "content.conf",
                URI=_escaped(f"/{repo.repo_type.url_prefix}{repo.id}/resolve/{revision}/{file.path}"),
                FILE=_escaped(str(self._stored(file))),
                COMMIT=version.commit,
                DIGEST=file.digest,
                SIZE=file.size,
            )

    def _moved(self, repo):
        """Redirect every URL of the legacy id to the same of the canonical one."""
        tails = ["", "/refs"]
        for version in (repo, *repo.older):
            for revision in (version.commit, *version.branches, *version.tags):
                tails += [f"/revision/{revision}", f"/tree/{revision}"]
                for path in version.entries:
                    yield _redirect(f"/{repo.repo_type.url_prefix}", repo, f"/resolve/{revision}/{path}")
        for tail in tails:
            yield _redirect(f"/api/{repo.repo_type.plural}/", repo, tail)

    def _metadata(self, uri, value) -> str:
        folder = self.folder / "metadata"
        folder.mkdir(exist_ok=True)
        file = folder / f"{len(list(folder.iterdir()))}.json"
        file.write_text(json.dumps(value))
        return _filled("metadata.conf", URI=_escaped(uri), FILE=_escaped(str(file)))

    def _stored(self, file) -> Path:
        """Return where the content lies as a file; generated ones are written once a store."""
        if isinstance(file.content, PathContent):
            return file.content.path
        store = self.store or self.folder / "content"
        store.mkdir(parents=True, exist_ok=True)
        path = store / file.digest
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}")
            with partial.open("wb") as out:
                for start in range(0, file.size, _PIECE_BYTES):
                    out.write(file.content.read(start, min(start + _PIECE_BYTES, file.size)))
            partial.replace(path)
        return path


@contextmanager
def nginx_mirrors(repos, folder: Path, variants: list[dict]):
    """Start one nginx for each dict of ``NginxMirror`` arguments, all with the same repositories and one store."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(NginxMirror(repos, folder / f"nginx-{index}", store=folder / "store", **variant))
            for index, variant in enumerate(variants)
        ]


def _nginx() -> str:
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert found, "nginx is not installed; scripts/install brings it (apt-get install nginx-light)"
    return found


def _redirect(prefix: str, repo, tail: str) -> str:
    target = quote(f"{prefix}{repo.id}{tail}")
    return _filled("moved.conf", URI=_escaped(f"{prefix}{repo.repo_id}{tail}"), TARGET=target)


def _filled(template: str, **values) -> str:
    text = (TEMPLATES / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
