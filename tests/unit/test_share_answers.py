"""The hub's protocol out of an offer, without sockets; what a client sees through them is in integration."""

import asyncio
import json
import socket
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.cache_world import COMMIT, FILES, OTHER_COMMIT

from chunkdl.errors import PlacementRefused, UsageError
from chunkdl.model import RepoType
from chunkdl.share import documents, hub_json, sending
from chunkdl.share.answers import Asked, Catalogue, Piece
from chunkdl.share.hosts import host_name, is_ours
from chunkdl.share.nginx import render
from chunkdl.share.offer import OfferedCommit, OfferedRepo, decode_repo, encode_repo


def offer(*files, complete=True, repo_id="org/name", commit=COMMIT, refs=("main",), **more):
    commits = {commit: OfferedCommit(commit, files or FILES, complete=complete)}
    named = dict.fromkeys(refs, commit)
    return OfferedRepo(RepoType.MODEL, repo_id, refs=MappingProxyType(named), commits=MappingProxyType(commits), **more)


def asked(path, *, method="GET", headers=(), base_url="http://here:1"):
    parts = urlsplit(path)
    return Asked(method, tuple(parts.path.strip("/").split("/")), dict(parse_qsl(parts.query)), dict(headers), base_url)


def answer(path, repo=None, *, pages=1000, **how):
    return Catalogue([repo or offer()], page_entries=pages).answer(asked(path, **how))


def test_a_listing_in_pages_is_the_whole_listing():
    path, seen = f"/api/models/org/name/tree/{COMMIT}?recursive=true&expand=false", []
    for _ in range(20):
        page = answer(path, pages=2)
        seen += json.loads(page.body)
        link = page.headers.get("Link")
        if link is None:
            break
        url, _, rel = link.partition(">")
        assert rel == '; rel="next"'
        assert url.startswith(f"<http://here:1/api/models/org/name/tree/{COMMIT}?")
        path = url.removeprefix("<http://here:1")
    assert seen == json.loads(answer(f"/api/models/org/name/tree/{COMMIT}?recursive=true").body)
    assert len(seen) == len(FILES) + 3


@pytest.mark.parametrize("cursor", ["", "!!!", "LTU=", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk="])
def test_a_cursor_that_nobody_gave_is_harmless(cursor):
    page = answer(f"/api/models/org/name/tree/main?recursive=true&cursor={cursor}", pages=2)
    assert page.status == 200
    assert len(json.loads(page.body)) in {0, 2}


def test_a_partial_offer_never_says_that_the_commit_lacks_a_file():
    whole = answer("/org/name/resolve/main/nope.txt")
    part = answer("/org/name/resolve/main/nope.txt", offer(complete=False))
    assert whole.headers["X-Error-Code"] == part.headers["X-Error-Code"] == "EntryNotFound"
    assert whole.headers["X-Repo-Commit"] == COMMIT
    assert "X-Repo-Commit" not in part.headers


def test_revisions_with_slashes_in_either_spelling():
    repo = offer(refs=("refs/pr/1",))
    for path in ("/org/name/resolve/refs/pr/1/config.json", "/api/models/org/name/revision/refs/pr/1"):
        assert answer(path, repo).status == 200
    encoded = Asked("GET", ("org", "name", "resolve", "refs/pr/1", "onnx", "model.onnx"))
    assert Catalogue([repo]).answer(encoded).piece.size == 1000


def test_a_repository_whose_file_lies_in_a_folder_called_resolve():
    file = replace(FILES[0], path="resolve/main/x")
    assert answer("/org/name/resolve/main/resolve/main/x", offer(file)).piece.digest == file.digest
    assert answer("/resolve/resolve/main/resolve/main/x", offer(file, repo_id="resolve")).status == 200


def test_datasets_and_models_are_apart():
    repo = replace(offer(), repo_type=RepoType.DATASET)
    assert answer("/datasets/org/name/resolve/main/config.json", repo).status == 200
    assert answer("/org/name/resolve/main/config.json", repo).status == 404
    assert answer("/api/datasets/org/name", repo).status == 200
    assert answer("/api/models/org/name", repo).status == 404


def test_an_id_of_its_own_goes_before_anothers_further_name():
    one, other = offer(FILES[0], repo_id="a/x", names=("b/y",)), offer(FILES[1], repo_id="b/y")
    for order in ([one, other], [other, one]):
        body = Catalogue(order).answer(asked("/api/models/b/y")).body
        assert json.loads(body)["id"] == "b/y"


def test_no_main_means_the_first_commit():
    assert json.loads(answer("/api/models/org/name", offer(refs=())).body)["sha"] == COMMIT
    assert answer("/api/models/org/name/revision/main", offer(refs=())).status == 404


def test_a_record_reads_back_as_it_was_written():
    repo = offer(refs=("main", "refs/pr/1"), names=("name",), gated=True)
    again = decode_repo(encode_repo(repo), "record")
    bare = tuple(replace(each, pointer_oid=None) for each in FILES)
    assert again == replace(repo, commits={COMMIT: OfferedCommit(COMMIT, bare, complete=True)})


@pytest.mark.parametrize(
    "damage",
    [
        lambda v: v.update(form=2),
        lambda v: v.update(id="../../etc"),
        lambda v: v.update(names=["a/b/c"]),
        lambda v: v.update(type="kernel"),
        lambda v: v.update(refs={"main": OTHER_COMMIT}),
        lambda v: v.update(commits={}),
        lambda v: v.update(commits={"..": {"complete": True, "files": []}}),
        lambda v: v["commits"][COMMIT]["files"].append(["x", 1, "sha256:zz"]),
        lambda v: v.pop("gated"),
    ],
)
def test_a_record_that_is_not_ours_offers_nothing(damage):
    values = json.loads(encode_repo(offer()))
    damage(values)
    with pytest.raises(UsageError, match="record is no record of an exported repository"):
        decode_repo(json.dumps(values).encode(), "record")


def test_a_record_with_a_hostile_path_is_refused():
    values = json.loads(encode_repo(offer()))
    values["commits"][COMMIT]["files"][0][0] = "../../etc/passwd"
    with pytest.raises(PlacementRefused):
        decode_repo(json.dumps(values).encode(), "record")


def test_offers_join_and_never_shrink():
    first = offer(*FILES[:2], complete=False, refs=("main",))
    second = offer(FILES[3], complete=True, refs=("v1",), repo_id="org/canonical", names=("org/name",))
    joined = first.joined(second)
    assert (joined.repo_id, joined.names) == ("org/canonical", ("org/name",))
    assert joined.refs == {"main": COMMIT, "v1": COMMIT}
    assert joined.at("v1").complete
    assert {each.path for each in joined.at("main").files} == {FILES[n].path for n in (0, 1, 3)}
    newer = joined.joined(offer(commit=OTHER_COMMIT, repo_id="org/canonical"))
    assert set(newer.commits) == {COMMIT, OTHER_COMMIT}
    assert newer.refs["main"] == OTHER_COMMIT


@pytest.mark.parametrize(
    ("host", "name"),
    [("A.b:1", "a.b"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("a.b.", "a.b"), ("", ""), (":80", ""), ("a:b", "a:b")],
)
def test_the_name_in_a_host_header(host, name):
    assert host_name(host) == name


@pytest.mark.parametrize("host", ["", "localhost.evil.example", "127.0.0.1.nip.io", "lab", "user@127.0.0.1", "1"])
def test_names_of_strangers_are_not_ours(host):
    assert not is_ours(host, {"lab.example"})


def test_nginx_words_are_literal():
    file = replace(FILES[0], path='a "b" \\ $uri ; { } @SIZE@')
    text = render([offer(file, refs=("v1.0+x",))], listen="127.0.0.1:1")
    assert f'location = "/org/name/resolve/{COMMIT}/a \\"b\\" \\\\ $uri ; {{ }} @SIZE@" {{' in text
    assert rf'rewrite "^/org/name/resolve/v1\\.0\\+x/(.*)$" "/org/name/resolve/{COMMIT}/$1";' in text
    assert "listen 127.0.0.1:1;" in text


def about(paths, repo=None, tail="paths-info/main"):
    question = replace(asked(f"/api/models/org/name/{tail}", method="POST"), paths=paths)
    return Catalogue([repo or offer()]).answer(question)


def test_a_question_about_paths_names_those_that_are_there():
    paths = [each.path for each in FILES]
    nested = next(each for each in paths if "/" in each)
    folder = nested.rpartition("/")[0]
    found = json.loads(about((nested, f"{folder}/", "nothing", nested)).body)
    assert [(each["path"], each["type"]) for each in found] == [(nested, "file"), (folder, "directory")]
    listed = json.loads(answer("/api/models/org/name/tree/main?recursive=true").body)
    assert [each for each in listed if each["path"] in {nested, folder}] == sorted(found, key=lambda each: each["path"])


def test_a_question_about_paths_of_nothing():
    assert json.loads(about(()).body) == []
    assert about(("x",), tail="paths-info/nope").headers["X-Error-Code"] == "RevisionNotFound"
    assert answer("/api/models/org/name/paths-info/main").status == 404
    assert about(("x",), tail="commit/main").status == 405


def test_listings_of_folders_are_what_lies_in_them():
    paths = ["a/b/c.txt", "a/b.txt", "a-b/x.txt", "a0.txt", "a.txt", "b/a/b.txt"]
    listing = hub_json.Listing(OfferedCommit(COMMIT, tuple(replace(FILES[0], path=each) for each in paths)))
    everything = sorted([*paths, "a", "a/b", "a-b", "b", "b/a"])
    assert [each["path"] for each in listing.tree()] == everything
    for folder in ("", "a", "a/b", "a-b", "b", "b/a", "none", "a.txt"):
        below = [each for each in everything if not folder or each.startswith(f"{folder}/")]
        flat = [each for each in below if "/" not in (each.removeprefix(f"{folder}/") if folder else each)]
        assert [each["path"] for each in listing.tree(folder)] == below
        assert [each["path"] for each in listing.tree(folder, recursive=False)] == flat
    assert [each["path"] for each in listing.of_paths(["b/", "a.txt", "none", "a.txt"])] == ["b", "a.txt"]


def test_documents_keep_their_names_when_an_export_adds_a_folder():
    """Under an nginx that runs, whose configuration leads to the old names until it is told of the new."""
    some = OfferedCommit(COMMIT, tuple(replace(FILES[0], path=each) for each in ("b/x.txt", "d/x.txt")))
    more = OfferedCommit(COMMIT, (*some.files, replace(FILES[0], path="c/x.txt")))
    before, after = (dict(documents.of_commit(offer(), each)) for each in (some, more))
    assert before.keys() < after.keys()
    in_d = documents.tree_name(COMMIT, "d", documents.FLAT)
    assert before[in_d] == after[in_d] == hub_json.Listing(some).tree("d")
    assert list(after)[-1] == documents.last_name(COMMIT)


async def test_a_file_that_became_shorter_ends_its_connection(tmp_path):
    """What follows on it would otherwise be taken for the rest of the file."""
    (tmp_path / "blob").write_bytes(b"short")
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    piece, request = Piece(FILES[0].digest, 20, 0, 20), SimpleNamespace(transport=transport)
    try:
        with (tmp_path / "blob").open("rb") as file, pytest.raises(ConnectionResetError, match="became shorter"):
            await sending._send_spans(request, file, piece)
    finally:
        transport.abort()
        theirs.close()
