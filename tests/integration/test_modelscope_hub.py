"""``ms:`` names: identified by ModelScope's own word, placed in a folder, resumed, and never detoured to."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from chunkdl.api import FetchOptions, run_fetch
from chunkdl.errors import TransportError
from chunkdl.model import RepoType
from chunkdl.observe import Progress
from chunkdl.settings import mirror_at
from chunkdl.settings.values import modelscope_at
from chunkdl.testing import HubRepo, MirrorServer, ModelScopeServer, SeededContent, fault
from tests.support.modelscope_scene import REPO, named_hub
from tests.support.scene import Scene

WEIGHTS = SeededContent(31, 20 << 20)
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "empty.txt": b"",
    "model.safetensors": WEIGHTS,
    "sub/odd #1%+\xe9.txt": b"odd",
}
MODEL = HubRepo("org/name", FILES, tags=("v1.0.0",))
OLD = HubRepo("org/name", {**FILES, "config.json": b"{}"}, branches=("old",), commit="1" * 40)


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def run(work):
    return asyncio.run(asyncio.wait_for(work(), 120))


def settings_of(scene, server, *mirrors, token=None, **more):
    more = {"local_dir": scene.folder / "out", **named_hub(server, token), **more}
    base = scene.settings(Nobody(), **more)
    return replace(base, mirrors=tuple(mirror_at(each.url) for each in mirrors))


class Nobody:
    url = "http://127.0.0.1:9"


def shown(folder):
    found = {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    return {path: data for path, data in found.items() if not path.startswith(".cache/")}


def contents(repo):
    return {path: bytes(each.content.read(0, each.size)) for path, each in repo.entries.items()}


@pytest.mark.parametrize("signed_urls", [False, True])
@pytest.mark.parametrize("web_route", [False, True])
def test_a_name_becomes_files_in_a_folder(scene, web_route, signed_urls):
    options = {"web_route": web_route, "signed_urls": signed_urls}

    async def work():
        async with ModelScopeServer([MODEL], **options) as server:
            return await scene.fetch("ms:org/name", settings=settings_of(scene, server)), server.url

    report, url = run(work)
    [result] = report.results
    assert shown(scene.folder / "out") == contents(MODEL)
    assert (result.path, result.repo, result.revision, result.commit) == (
        str(scene.folder / "out"),
        "org/name",
        "master",
        MODEL.commit,
    )
    assert (result.authority, result.authenticated) == ("origin", True)
    assert {each.digest.partition(":")[0] for each in result.files} == {"sha256"}
    assert {each.verified for each in result.files} == {"digest"}
    assert url.removeprefix("http://") in json.dumps(report.as_json()["hosts"]) or signed_urls


def test_a_second_run_does_nothing_and_leaves_no_word_of_another_hub(scene):
    async def work():
        async with ModelScopeServer([MODEL]) as server:
            settings = settings_of(scene, server)
            await scene.fetch("ms:org/name", settings=settings)
            before = server.bytes_served
            report = await scene.fetch("ms:org/name", settings=settings)
            assert server.bytes_served - before <= 1
            return report

    report = run(work)
    assert {each.source for each in report.results[0].files} == {"cache"}
    records = scene.folder / "out" / ".cache" / "huggingface"
    assert not (records / "trees").exists()
    assert not (scene.cache / "models--org--name").exists()


def test_an_interrupted_one_goes_on(scene):
    async def work():
        stall = fault("stall-after-n-bytes", n=2 << 20, path="model.safetensors")
        async with ModelScopeServer([MODEL], faults=[stall]) as server:
            settings = settings_of(scene, server)
            stored = asyncio.Event()

            def watch(event):
                if isinstance(event, Progress) and event.done_bytes > 1 << 20:
                    stored.set()

            first = asyncio.create_task(run_fetch(["ms:org/name"], FetchOptions(), settings, watch))
            await stored.wait()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            server.faults = ()
            before = server.bytes_by_file["model.safetensors"]
            report = await scene.fetch("ms:org/name", settings=settings)
            return report, server.bytes_by_file["model.safetensors"] - before

    report, fetched = run(work)
    assert shown(scene.folder / "out") == contents(MODEL)
    assert next(each.source for each in report.results[0].files if each.path == "model.safetensors") == "partial"
    assert fetched < WEIGHTS.size


def test_revisions_by_branch_tag_and_commit(scene):
    both = replace(MODEL, older=(OLD,))

    async def work():
        async with ModelScopeServer([both]) as server:
            for revision, repo in (("old", OLD), ("v1.0.0", MODEL), ("1" * 40, OLD)):
                report = await scene.fetch(f"ms:org/name@{revision}", settings=settings_of(scene, server))
                assert report.results[0].commit == repo.commit
                assert shown(scene.folder / "out") == contents(repo)
            report = await scene.fetch("ms:org/name@v9", settings=settings_of(scene, server))
            return report.results[0].error

    error = run(work)
    assert "has no revision 'v9' of model org/name" in error.message
    assert error.hint == "there are master, old, v1.0.0"


def test_a_data_set_has_pages(scene):
    rows = HubRepo("org/rows", {f"part-{at:03}.csv": f"{at}".encode() for at in range(450)}, repo_type=RepoType.DATASET)

    async def work():
        async with ModelScopeServer([rows]) as server:
            report = await scene.fetch("ms:datasets/org/rows", settings=settings_of(scene, server))
            pages = {each.request.query.get("PageNumber") for each in server.log if each.kind == "tree"}
            return report, pages

    report, pages = run(work)
    assert report.exit_code == 0
    assert pages == {"1", "2", "3"}
    assert shown(scene.folder / "out") == contents(rows)


def test_a_listing_beyond_the_cap_is_walked(scene):
    files = {f"{folder}/{at}.txt": f"{folder}{at}".encode() for folder in "abc" for at in range(1100)}
    big = HubRepo("org/name", {"top.txt": b"top", **files})

    async def work():
        async with ModelScopeServer([big]) as server:
            options = {"dry_run": True, "format": "all"}
            return await scene.fetch("ms:org/name", settings=settings_of(scene, server), **options)

    report = run(work)
    assert len(report.results[0].files) == 3301


def test_a_folder_beyond_the_cap_is_refused_and_not_half_copied(scene):
    flat = HubRepo("org/name", {f"{at}.txt": f"{at}".encode() for at in range(3100)})

    async def work():
        async with ModelScopeServer([flat]) as server:
            return await scene.fetch("ms:org/name", settings=settings_of(scene, server))

    report = run(work)
    assert report.exit_code == 7
    assert "lists only a part of org/name" in report.results[0].error.message


@pytest.mark.parametrize(
    ("bad", "exit_code", "says"),
    [
        (fault("envelope-error"), 4, "system busy"),
        (fault("envelope-error", code=403, message="access denied"), 3, "refuses model org/name: access denied"),
        (fault("envelope-error", code=404), 3, "knows no model org/name"),
        (fault("empty-body", where="tree"), 4, "no JSON"),
        (fault("status-429", where="tree"), 4, "429"),
        (fault("hostile-path"), 7, "evil.txt"),
        (fault("empty-body", times=3), 0, ""),
        (fault("wrong-sha256", listed="model.safetensors"), 5, "model.safetensors"),
        (fault("missing-file", missing="*"), 3, "lists no file of org/name@master"),
    ],
    ids=lambda each: f"{each.name}-{each.where}" if hasattr(each, "where") else "",
)
def test_what_the_server_does_wrong_is_told_by_its_code(scene, bad, exit_code, says):
    broken = [bad, fault("envelope-error", where="info", code=404)] if exit_code == 3 else [bad]

    async def work():
        async with ModelScopeServer([MODEL], faults=broken) as server:
            return await scene.fetch("ms:org/name", settings=settings_of(scene, server))

    report = run(work)
    assert report.exit_code == exit_code, report.results[0].error
    if exit_code:
        assert says in report.results[0].error.message
        assert shown(scene.folder) == {} or not (scene.folder / "out" / "model.safetensors").exists()


def test_a_private_repository_opens_to_its_own_token_alone(scene):
    private = replace(MODEL, private=True)

    async def work():
        async with ModelScopeServer([private], token="ms_t", signed_urls=True) as server:
            shut = await scene.fetch("ms:org/name", settings=settings_of(scene, server))
            opened = await scene.fetch("ms:org/name", settings=settings_of(scene, server, token="ms_t"))
            sent = {each.request.headers.get("authorization") for each in server.log if each.request.on_cdn}
            return shut, opened, sent

    shut, opened, sent = run(work)
    assert (shut.exit_code, opened.exit_code) == (3, 0)
    assert "MODELSCOPE_API_TOKEN" in shut.results[0].error.hint
    assert sent == {None}


def test_without_a_folder_nobody_is_asked(scene):
    async def work():
        async with ModelScopeServer([MODEL]) as server:
            report = await scene.fetch("ms:org/name", settings=settings_of(scene, server, local_dir=None))
            assert server.requests == 0
            return report

    report = run(work)
    assert report.exit_code == 2
    assert "--local-dir" in report.results[0].error.hint


def test_the_other_hub_and_its_mirrors_hear_nothing_of_it(scene):
    async def work():
        async with ModelScopeServer([MODEL]) as server, MirrorServer([MODEL]) as mirror:
            report = await scene.fetch("ms:org/name", settings=settings_of(scene, server, mirror))
            assert mirror.requests == 0
            return report

    assert run(work).exit_code == 0


def test_what_the_cache_has_by_digest_is_copied_and_not_fetched(scene):
    async def work():
        async with MirrorServer([REPO]) as origin, ModelScopeServer([HubRepo("org/name", REPO.files)]) as server:
            await scene.fetch("bert-base-uncased", settings=scene.settings(origin))
            await scene.fetch("ms:org/name", settings=settings_of(scene, server))
            return sum(count for path, count in server.bytes_by_file.items() if path.endswith(".safetensors"))

    assert run(work) <= 1  # the byte by which the route is chosen
    assert shown(scene.folder / "out") == contents(HubRepo("org/name", REPO.files))


def test_a_silent_server_is_stood_in_for_by_its_earlier_word(scene):
    async def work():
        async with ModelScopeServer([MODEL]) as server:
            settings = settings_of(scene, server)
            await scene.fetch("ms:org/name", settings=settings)
        report = await scene.fetch("ms:org/name", settings=settings)
        strict = await scene.fetch("ms:org/name", settings=replace(settings, trust="strict"))
        return report, strict

    report, strict = run(work)
    assert (report.exit_code, report.results[0].authority) == (0, "last-known")
    assert [each.code for each in report.notices] == ["last-known"]
    assert strict.exit_code == TransportError.exit_code


def test_offline_shows_what_the_folder_holds(scene):
    async def work():
        async with ModelScopeServer([MODEL]) as server:
            settings = settings_of(scene, server)
            await scene.fetch("ms:org/name", settings=settings)
        there = await scene.fetch("ms:org/name", settings=replace(settings, offline=True))
        nowhere = replace(settings, offline=True, local_dir=scene.folder / "other")
        return there, await scene.fetch("ms:org/name", settings=nowhere)

    there, elsewhere = run(work)
    assert (there.exit_code, there.results[0].revision) == (0, "master")
    assert elsewhere.exit_code == 3


def test_strict_trust_wants_more_than_plain_http(scene):
    settings = replace(
        settings_of(scene, Nobody()), trust="strict", modelscope=modelscope_at("http://modelscope.example")
    )

    async def work():
        return await scene.fetch("ms:org/name", settings=settings)

    assert run(work).exit_code == 7


def test_selection_holds_here_too(scene):
    both = HubRepo("org/name", {**FILES, "pytorch_model.bin": SeededContent(5, 9_000_000)})

    async def work():
        async with ModelScopeServer([both]) as server:
            return await scene.fetch("ms:org/name", settings=settings_of(scene, server))

    report = run(work)
    assert (report.results[0].left_out.files, report.results[0].left_out.bytes) == (1, 9_000_000)
    assert not Path(report.results[0].path, "pytorch_model.bin").exists()
