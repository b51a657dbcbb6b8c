"""An nginx configuration that offers a mirror folder as a hub. Pure: offers in, text out.

One exact location a file, because nginx has no table that tells capital letters apart and an answer needs
the digest of its file. Paths are relative to the folder (``nginx -p DIR``), so that it can be moved.
Left to nginx: ranges, conditions, HEAD, and refusing everything that is neither GET nor HEAD. Unlike
``chunkdl serve`` it gives a listing in one page and does not check the Host header.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chunkdl.share.documents import REFS, folders, info_name, tree_name
from chunkdl.share.folder import document_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chunkdl.model import RemoteFile
    from chunkdl.share.offer import OfferedCommit, OfferedRepo

_HEAD = """\
# Written by `chunkdl mirrors export`, anew each time. Run in the folder that holds this file:
#     nginx -p "$PWD" -c nginx.conf                  start
#     nginx -p "$PWD" -c nginx.conf -s reload        after another export
#     nginx -p "$PWD" -c nginx.conf -s stop
worker_processes auto;
pid nginx/nginx.pid;
error_log nginx/error.log warn;

events {
    worker_connections 4096;
}

http {
    access_log off;
    client_body_temp_path nginx/temp;
    proxy_temp_path nginx/temp;
    fastcgi_temp_path nginx/temp;
    uwsgi_temp_path nginx/temp;
    scgi_temp_path nginx/temp;

    types { }
    default_type application/octet-stream;
    sendfile on;
    sendfile_max_chunk 1m;        # so that one fast reader does not hold up the others
    tcp_nopush on;
    keepalive_requests 100000;    # a range is a request

    map $arg_recursive $depth {
        default flat;
        ~*^(true|1)$ deep;
    }

    server {
        listen @LISTEN@;
        absolute_redirect off;
        add_header X-Content-Type-Options nosniff;
"""
_TAIL = """
        location / {
            add_header X-Error-Code RepoNotFound always;
            return 404;
        }
    }
}
"""
_DOCUMENT = """
        location = @URI@ {
            alias @FILE@;
            default_type application/json;
        }
"""
_CONTENT = """
        location = @URI@ {
            alias @FILE@;
            add_header X-Repo-Commit @COMMIT@ always;
            add_header X-Linked-Etag '"@DIGEST@"' always;
            add_header X-Linked-Size @SIZE@ always;
            add_header X-Content-Type-Options nosniff;
        }
"""
_MISSING = """
        location ^~ @URI@ {
            add_header X-Error-Code @CODE@ always;@MORE@
            return 404;
        }
"""


def render(repos: Iterable[OfferedRepo], *, listen: str) -> str:
    """The whole configuration; ``listen`` is what nginx's directive of that name takes, ``127.0.0.1:8650``."""
    repos = sorted(repos, key=lambda each: (each.repo_type, each.repo_id))
    rewrites = [line for each in repos for line in (*_other_names(each), *_refs(each))]
    parts = [_HEAD.replace("@LISTEN@", listen), *rewrites]
    parts += [block for each in repos for block in _repo(each)]
    return "".join([*parts, _TAIL])


def _other_names(repo: OfferedRepo) -> Iterator[str]:
    """A legacy id is another spelling of the hub's own."""
    api, prefix = f"/api/{repo.repo_type.plural}/", f"/{repo.repo_type.url_prefix}"
    for name in repo.names:
        yield _rewrite(api + name, "(/.*)?", f"{api}{repo.repo_id}$1")
        yield _rewrite(prefix + name, "(/resolve/.*)", f"{prefix}{repo.repo_id}$1")


def _refs(repo: OfferedRepo) -> Iterator[str]:
    """A branch or tag is another spelling of its commit."""
    api, web = _roots(repo)
    for name, commit in repo.refs.items():
        for kind in ("revision", "tree"):
            yield _rewrite(f"{api}/{kind}/{name}", "(/.*)?", f"{api}/{kind}/{commit}$1")
        yield _rewrite(f"{web}/resolve/{name}/", "(.*)", f"{web}/resolve/{commit}/$1")


def _repo(repo: OfferedRepo) -> Iterator[str]:
    api, web = _roots(repo)
    yield _filled(_DOCUMENT, URI=_quoted(api), FILE=_file(repo, info_name(repo.default.commit)))
    yield _filled(_DOCUMENT, URI=_quoted(f"{api}/refs"), FILE=_file(repo, REFS))
    for commit in repo.commits.values():
        yield from _commit(repo, commit)
    for uri in (f"{api}/", f"{web}/resolve/"):
        yield _filled(_MISSING, URI=_quoted(uri), CODE="RevisionNotFound", MORE="")


def _commit(repo: OfferedRepo, commit: OfferedCommit) -> Iterator[str]:
    api, web = _roots(repo)
    name = commit.commit
    yield _filled(_DOCUMENT, URI=_quoted(f"{api}/revision/{name}"), FILE=_file(repo, info_name(name)))
    for path in folders(commit):
        uri = f"{api}/tree/{name}/{path}".removesuffix("/")
        yield _filled(_DOCUMENT, URI=_quoted(uri), FILE=_file(repo, tree_name(name, path, "$depth")))
    folder = f"{web}/resolve/{name}/"
    for each in commit.files:
        yield _content(folder + each.path, each, name)
    # Clients remember that a commit lacks a file if the answer names the commit: only what is whole may do that.
    whole = f"\n            add_header X-Repo-Commit {name} always;" if commit.complete else ""
    for uri in (folder, f"{api}/tree/{name}/"):
        yield _filled(_MISSING, URI=_quoted(uri), CODE="EntryNotFound", MORE=whole)


def _content(uri: str, file: RemoteFile, commit: str) -> str:
    digest = file.digest.hex
    return _filled(
        _CONTENT, URI=_quoted(uri), FILE=_quoted(f"blobs/{digest}"), COMMIT=commit, DIGEST=digest, SIZE=str(file.size)
    )


def _roots(repo: OfferedRepo) -> tuple[str, str]:
    return f"/api/{repo.repo_type.plural}/{repo.repo_id}", f"/{repo.repo_type.url_prefix}{repo.repo_id}"


def _file(repo: OfferedRepo, name: str) -> str:
    return _quoted(document_path(repo, name))


def _rewrite(literal: str, pattern: str, target: str) -> str:
    return f"        rewrite {_quoted(f'^{re.escape(literal)}{pattern}$')} {_quoted(target)};\n"


def _filled(template: str, **values: str) -> str:
    """Fill all at once: a file may be called ``@SIZE@``."""
    return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], template)


def _quoted(text: str) -> str:
    """One word of nginx's language, taken literally."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
