"""Identification over real sockets: HttpClient against MirrorServer."""

import asyncio
from dataclasses import replace

import pytest

from chunkdl.errors import AccessDenied, ArtifactNotFound, AuthorityUnreachable, PlacementRefused
from chunkdl.http.client import HttpClient
from chunkdl.identify.authority import ask_mirrors, identify
from chunkdl.identify.known import Known
from chunkdl.identify.references import parse_reference
from chunkdl.identify.sources import source_of
from chunkdl.model import AuthorityKind, ByteRange
from chunkdl.settings import Settings, mirror_at
from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault

FILES = {f"sub folder/{at} #%+.txt": f"{at}".encode() for at in range(25)}
REPO = HubRepo(
    "legacy-name", {**FILES, "model.safetensors": SeededContent(seed=1, size=3_000_000)}, canonical_id="org/legacy-name"
)
NOW = 1_700_000_000.0
TOKEN = "hf_integration"


def run(tmp_path, origin, *mirrors, reference="legacy-name", token=None, after=None, **changes):
    """Identify over the servers ``origin`` and ``mirrors``, then await ``after(identified, client, settings)``."""

    async def go():
        async with asyncio.timeout(30), HttpClient(environ={}) as client:
            for each in (origin, *mirrors):
                await each.__aenter__()
            try:
                of = Settings(
                    origin=mirror_at(origin.url, is_origin=True, token=token),
                    mirrors=tuple(mirror_at(each.url) for each in mirrors),
                    state_dir=tmp_path / "state",
                    cache_dir=tmp_path / "hub",
                )
                of = replace(of, **changes)
                found = await identify(
                    parse_reference(reference), settings=of, client=client, known=Known.of(of), now=NOW
                )
                return found if after is None else await after(found, client, of)
            finally:
                for each in (origin, *mirrors):
                    await each.__aexit__(None, None, None)

    return asyncio.run(go())


async def covered(found, client, of):
    seen = list(found.sources)
    await ask_mirrors(found.artifact, found.to_ask, client=client, settings=of, on_mirror=seen.append)
    return [next(each for each in seen if each.mirror == mirror) for mirror in of.mirrors]


def test_a_legacy_name_over_many_pages(tmp_path):
    origin = MirrorServer([REPO], page_entries=4)
    artifact = run(tmp_path, origin).artifact
    assert (artifact.canonical_id, artifact.commit) == ("org/legacy-name", REPO.commit)
    assert {each.path: (each.size, each.digest.hex) for each in artifact.files} == {
        path: (each.size, each.digest) for path, each in REPO.entries.items()
    }
    assert origin.requests_by_kind["tree"] >= 7


def test_every_source_url_leads_to_its_file(tmp_path):
    async def fetch(found, client, of):
        [coverage] = found.sources
        got = {}
        for file in found.artifact.files:
            source = source_of(coverage, found.artifact, file)
            body = await client.open_body(source, ByteRange(0, 1), size=file.size, first_byte_s=5.0)
            view = memoryview(bytearray(1))
            await body.read_into(view)
            await body.close(reusable=False)
            got[file.path] = bytes(view)
        return got

    got = run(tmp_path, MirrorServer([REPO], signed_urls=True), after=fetch)
    assert got == {path: bytes(each.content.read(0, 1)) for path, each in REPO.entries.items()}


def test_mirrors_are_found_lagging_lying_and_good(tmp_path):
    origin, good = MirrorServer([REPO]), MirrorServer([REPO], page_entries=3)
    lagging = MirrorServer([REPO], faults=["lagging"])
    lying = MirrorServer([replace(REPO, files={**REPO.files, "model.safetensors": b"evil"}, commit=REPO.commit)])
    one, two, three = run(tmp_path, origin, good, lagging, lying, after=covered)
    assert (one.has_commit, one.refused) == (True, frozenset())
    assert (two.has_commit, len(two.elsewhere)) == (False, 26)
    assert three.refused == {"model.safetensors"}


@pytest.mark.parametrize(
    "nonsense",
    [
        "link-next-foreign-host",
        "cyclic-listing",
        "huge-listing",
        "truncated-listing",
        "wrong-pointer",
        fault("html-200", where="api"),
        fault("redirect-loop", where="info"),
    ],
)
def test_an_origin_that_talks_nonsense_is_no_authority(tmp_path, nonsense):
    with pytest.raises(AuthorityUnreachable) as caught:
        run(tmp_path, MirrorServer([REPO], faults=[nonsense]))
    assert "\n" not in caught.value.message


def test_a_hostile_path_ends_it(tmp_path):
    with pytest.raises(PlacementRefused):
        run(tmp_path, MirrorServer([REPO], faults=["hostile-path"]))


def test_a_silent_origin_leaves_it_to_the_mirrors(tmp_path):
    origin = MirrorServer([REPO], faults=[fault("accept-and-silent", where="api")])
    found = run(tmp_path, origin, MirrorServer([REPO]), MirrorServer([REPO]), answer_s=0.3)
    assert found.artifact.authority.kind is AuthorityKind.MIRRORS
    assert [each.code for each in found.notices] == ["mirrors-vouch"]


def test_the_token_goes_to_the_origin_and_nowhere_else(tmp_path):
    private = replace(REPO, private=True)
    origin, mirror = MirrorServer([private], token=TOKEN, page_entries=4), MirrorServer([REPO])
    found = run(tmp_path, origin, mirror, token=TOKEN)
    assert found.artifact.commit == REPO.commit
    assert {each.request.token for each in origin.log} == {TOKEN}
    assert mirror.requests == 0

    origin, mirror = MirrorServer([REPO], token=TOKEN), MirrorServer([REPO])
    run(tmp_path / "public", origin, mirror, token=TOKEN, after=covered)
    assert mirror.requests > 0
    assert {each.request.token for each in mirror.log} == {None}


def test_gates_and_private_repositories(tmp_path):
    gated, private = replace(REPO, gated="manual"), replace(REPO, private=True)
    with pytest.raises(AccessDenied, match="gated"):
        run(tmp_path, MirrorServer([gated], token=TOKEN), MirrorServer([REPO]))
    with pytest.raises(AccessDenied, match="gated"):
        run(tmp_path, MirrorServer([gated], token=TOKEN), token="hf_wrong")
    assert run(tmp_path, MirrorServer([gated], token=TOKEN), token=TOKEN).artifact.commit == REPO.commit
    with pytest.raises(ArtifactNotFound, match="knows no model") as caught:
        run(tmp_path, MirrorServer([private], token=TOKEN))
    assert "HF_TOKEN" in caught.value.hint


def test_revisions(tmp_path):
    older = replace(REPO, files=FILES, branches=("dev",), commit="")
    repo = replace(REPO, older=(older,), tags=("v1",))
    for revision, commit in (("v1", REPO.commit), ("dev", older.commit), (older.commit, older.commit)):
        found = run(tmp_path, MirrorServer([repo]), reference=f"legacy-name@{revision}")
        assert found.artifact.commit == commit
    with pytest.raises(ArtifactNotFound, match="no revision 'nope'"):
        run(tmp_path, MirrorServer([repo]), reference="legacy-name@nope")
