import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

import chunkdl
from chunkdl.api import FetchOptions, run_fetch
from chunkdl.model import Mirror, MirrorKind
from chunkdl.observe import Progress
from chunkdl.settings.declared import ANY_ADDRESS
from chunkdl.testing import SeededContent, fault
from tests.support.checkpoints import CONTENT, NAME, PREFIX, SIZE, folder_of, server, settings_for, url_of
from tests.support.outside import Traveller

SCHEMA = json.loads((Path(__file__).parents[2] / "fixtures" / "report.schema.json").read_text())
OTHER = SeededContent(8, SIZE)
LIAR = "resnet18-00000000.pth"
BARE = "model.pth"


def fetch(reference, settings, **options):
    async def bounded():
        return await asyncio.wait_for(run_fetch([reference], FetchOptions(**options), settings), 100)

    report = asyncio.run(bounded())
    jsonschema.validate(json.loads(json.dumps(report.as_json())), SCHEMA)
    return report


def copy_at(host, of="*", **more):
    """A static mirror that stands in for ``of``."""
    return Mirror(folder_of(host).rstrip("/"), kind=MirrorKind.STATIC, replaces=of, **more)


def checkpoints(folder):
    return folder / "torch" / "hub" / "checkpoints"


def codes(report):
    return {each.code for each in report.notices}


def only(report):
    assert report.exit_code == 0, report.results[0].error
    (file,) = report.results[0].files
    return file


@pytest.fixture
def host():
    with server().in_thread() as host:
        yield host


def test_a_checkpoint_is_proven_by_its_name_and_placed_where_torch_looks(host, tmp_path):
    report = fetch(url_of(host), settings_for(tmp_path))
    file = only(report)
    assert (file.digest, file.verified, file.source) == (f"sha256:{CONTENT.sha256}", "prefix", "network")
    path = Path(report.results[0].path)
    assert path == checkpoints(tmp_path) / NAME
    assert CONTENT.first_difference(path.read_bytes()) is None
    assert [each.name for each in path.parent.iterdir()] == [NAME]
    assert (report.results[0].commit, report.results[0].revision) == (None, None)


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_the_signature_of_an_address_is_in_no_line_for_people(host, tmp_path, more):
    ended = Traveller(tmp_path, "hidden").run("fetch", f"{url_of(host)}?sig=hidden", *more)
    assert ended.code == 0, ended.said
    assert f"{url_of(host)}?..." in ended.said


def test_the_mode_is_what_the_umask_leaves(host, tmp_path):
    before = os.umask(0o022)
    try:
        report = fetch(url_of(host), settings_for(tmp_path))
    finally:
        os.umask(before)
    assert Path(report.results[0].path).stat().st_mode & 0o777 == 0o644


def test_a_second_fetch_takes_no_content_and_is_proven_by_what_the_first_one_learnt(host, tmp_path):
    fetch(url_of(host), settings_for(tmp_path))
    before = host.bytes_served
    report = fetch(url_of(host), settings_for(tmp_path))
    assert only(report).source == "cache"
    assert report.results[0].authority == "last-known"
    assert host.bytes_served - before <= 1 << 20  # the first byte is asked for, and the rest is not waited for


def test_what_was_learnt_proves_the_whole_digest_the_next_time(host, tmp_path):
    path = Path(fetch(url_of(host), settings_for(tmp_path)).results[0].path)
    path.unlink()
    assert only(fetch(url_of(host), settings_for(tmp_path))).verified == "digest"


def test_a_file_that_torch_left_there_is_hashed_once_and_kept(host, tmp_path):
    target = checkpoints(tmp_path) / NAME
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT.read(0, SIZE))
    inode = target.stat().st_ino
    file = only(fetch(url_of(host), settings_for(tmp_path)))
    assert (file.source, file.verified, file.digest) == ("cache", "prefix", f"sha256:{CONTENT.sha256}")
    assert target.stat().st_ino == inode
    assert host.bytes_served < SIZE


def test_a_broken_file_stays_until_the_right_one_is_proven(tmp_path):
    target = checkpoints(tmp_path) / NAME
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half of it")
    with server(faults=[fault("flip-bits")]).in_thread() as liar:
        assert fetch(url_of(liar), settings_for(tmp_path)).exit_code == 5
        assert target.read_bytes() == b"half of it"
    with server().in_thread() as host:
        only(fetch(url_of(host), settings_for(tmp_path)))
    assert CONTENT.first_difference(target.read_bytes()) is None


def test_several_mirrors_share_one_file(host, tmp_path):
    with server().in_thread() as mirror:
        settings = settings_for(tmp_path, url_mirrors=(copy_at(mirror, of=folder_of(host)),))
        host.rate_bytes_per_s = mirror.rate_bytes_per_s = SIZE // 6  # six seconds for one of them alone
        only(fetch(url_of(host), settings))
        assert mirror.bytes_served > SIZE // 8
        assert host.bytes_served > SIZE // 8


def test_a_mirror_that_was_typed_is_asked_by_name(host, tmp_path):
    with server().in_thread() as mirror:
        host.rate_bytes_per_s = 4 << 20
        only(fetch(url_of(host), settings_for(tmp_path, url_mirrors=(copy_at(mirror, of=ANY_ADDRESS),))))
        assert mirror.bytes_served > SIZE // 2


def test_a_mirror_of_another_address_hears_nothing(host, tmp_path):
    with server().in_thread() as mirror:
        settings = settings_for(tmp_path, url_mirrors=(copy_at(mirror, of="https://download.example/models/"),))
        only(fetch(url_of(host), settings))
        assert mirror.requests == 0


def test_a_lying_mirror_is_found_out_and_the_file_is_right(host, tmp_path):
    with server(faults=[fault("flip-bits")]).in_thread() as liar:
        liar_at = liar.url.removeprefix("http://")
        host.rate_bytes_per_s = liar.rate_bytes_per_s = SIZE // 6
        report = fetch(url_of(host), settings_for(tmp_path, url_mirrors=(copy_at(liar, of=folder_of(host)),)))
    assert {each.host: each.state for each in report.hosts}[liar_at] == "excluded"
    assert CONTENT.first_difference(Path(report.results[0].path).read_bytes()) is None


def test_mirrors_serve_while_the_address_itself_is_silent(tmp_path):
    with server().in_thread() as gone:
        url, of = url_of(gone), folder_of(gone)
    with server().in_thread() as mirror:
        settings = settings_for(tmp_path, url_mirrors=(copy_at(mirror, of=of),))
        report = fetch(url, settings)
        assert only(report).verified == "prefix"
        assert "origin-silent" in codes(report)
        checkpoints(tmp_path).joinpath(NAME).unlink()
        assert "origin-silent" in codes(fetch(url, settings))


def test_strict_trust_takes_no_length_from_a_mirror(tmp_path):
    with server().in_thread() as gone:
        url, of = url_of(gone), folder_of(gone)
    with server().in_thread() as mirror:
        settings = settings_for(tmp_path, trust="strict", url_mirrors=(copy_at(mirror, of=of),))
        assert fetch(url, settings).exit_code == 4


def test_a_name_that_lies_ends_with_5_and_says_what_the_file_is(tmp_path):
    with server({LIAR: CONTENT}).in_thread() as host:
        report = fetch(url_of(host, LIAR), settings_for(tmp_path))
    assert report.exit_code == 5
    error = report.results[0].error
    assert "its name lies" in error.message
    assert f"#sha256={CONTENT.sha256}" in error.hint
    assert not (checkpoints(tmp_path) / LIAR).exists()


def test_a_digest_in_the_address_goes_before_the_name(tmp_path):
    with server({LIAR: CONTENT}).in_thread() as host:
        file = only(fetch(f"{url_of(host, LIAR)}#sha256={CONTENT.sha256}", settings_for(tmp_path)))
    assert file.verified == "digest"


def test_a_wrong_digest_in_the_address_places_nothing(host, tmp_path):
    report = fetch(f"{url_of(host)}#sha256={OTHER.sha256}", settings_for(tmp_path))
    assert report.exit_code == 5
    assert not (checkpoints(tmp_path) / NAME).exists()


def test_a_name_that_is_known_to_lie_is_mapped_to_the_truth(tmp_path, monkeypatch):
    monkeypatch.setattr("chunkdl.identify.checkpoints.true_prefix", {LIAR: PREFIX}.get)
    with server({LIAR: CONTENT}).in_thread() as host:
        report = fetch(url_of(host, LIAR), settings_for(tmp_path))
    assert only(report).verified == "prefix"
    assert "mislabelled" in codes(report)


def test_nothing_to_prove_it_by_is_refused_until_allowed(tmp_path):
    with server({BARE: CONTENT}).in_thread() as host:
        refused = fetch(url_of(host, BARE), settings_for(tmp_path))
        assert refused.exit_code == 7
        assert "--allow-unverified" in refused.results[0].error.hint
        report = fetch(url_of(host, BARE), settings_for(tmp_path), allow_unverified=True)
        file = only(report)
        assert (file.verified, file.digest) == ("size", f"sha256:{CONTENT.sha256}")
        assert "unverified" in codes(report)


def test_what_was_allowed_once_is_known_afterwards(tmp_path):
    with server({BARE: CONTENT}).in_thread() as host:
        path = Path(fetch(url_of(host, BARE), settings_for(tmp_path), allow_unverified=True).results[0].path)
        path.unlink()
        report = fetch(url_of(host, BARE), settings_for(tmp_path))
    assert only(report).verified == "digest"
    assert report.results[0].authenticated is False


def test_without_a_digest_mirrors_are_not_mixed_in(tmp_path):
    with server({BARE: CONTENT}).in_thread() as host, server({BARE: OTHER}).in_thread() as other:
        settings = settings_for(tmp_path, url_mirrors=(copy_at(other),))
        report = fetch(url_of(host, BARE), settings, allow_unverified=True)
        assert other.requests == 0
    assert CONTENT.first_difference(Path(report.results[0].path).read_bytes()) is None


def test_an_upstream_that_changed_is_told_and_taken(tmp_path):
    settings = settings_for(tmp_path)
    with server({BARE: CONTENT}).in_thread() as host:
        url = url_of(host, BARE)
        fetch(url, settings, allow_unverified=True)
        host.repos = server({BARE: OTHER}).repos
        assert fetch(url, settings).exit_code == 7
        report = fetch(url, settings, allow_unverified=True)
    assert "upstream-changed" in codes(report)
    assert OTHER.first_difference(Path(report.results[0].path).read_bytes()) is None


def test_two_addresses_with_one_file_name_do_not_replace_each_other(tmp_path):
    settings = settings_for(tmp_path)
    with server({BARE: CONTENT}).in_thread() as one, server({BARE: OTHER}).in_thread() as two:
        fetch(f"{url_of(one, BARE)}#sha256={CONTENT.sha256}", settings)
        second = f"{url_of(two, BARE)}#sha256={OTHER.sha256}"
        refused = fetch(second, settings)
        assert refused.exit_code == 7
        assert "#name=" in refused.results[0].error.hint
        beside = fetch(f"{second}&name=other.pth", settings)
        assert Path(beside.results[0].path).name == "other.pth"
        only(fetch(second, settings, force=True))
    assert OTHER.first_difference((checkpoints(tmp_path) / BARE).read_bytes()) is None


def test_two_files_of_one_name_in_one_run_end_in_one_file_and_one_refusal(tmp_path):
    async def both(urls):
        return await asyncio.wait_for(run_fetch(urls, FetchOptions(), settings_for(tmp_path)), 100)

    with server({BARE: CONTENT}).in_thread() as one, server({BARE: OTHER}).in_thread() as two:
        urls = [f"{url_of(one, BARE)}#sha256={CONTENT.sha256}", f"{url_of(two, BARE)}#sha256={OTHER.sha256}"]
        report = asyncio.run(both(urls))
    assert sorted(each.exit_code for each in report.results) == [0, 7]
    right = next(each for each in report.results if each.ok)
    content = CONTENT if right.files[0].digest.endswith(CONTENT.sha256) else OTHER
    assert content.first_difference(Path(right.path).read_bytes()) is None


def test_any_file_goes_into_a_folder_and_no_other_way(tmp_path):
    with server({"corpus.tar.gz": CONTENT}).in_thread() as host:
        url = f"{url_of(host, 'corpus.tar.gz')}#sha256={CONTENT.sha256}"
        assert fetch(url, settings_for(tmp_path)).exit_code == 2
        report = fetch(url, settings_for(tmp_path, local_dir=tmp_path / "here"))
    assert only(report).verified == "digest"
    assert [each.name for each in (tmp_path / "here").iterdir()] == ["corpus.tar.gz"]


@pytest.mark.parametrize("kind", ["refuse-head", "ignore-range", "no-content-length"])
def test_a_server_with_oddities_still_gives_the_file(kind, tmp_path):
    with server(faults=[fault(kind)]).in_thread() as host:
        assert only(fetch(url_of(host), settings_for(tmp_path))).verified == "prefix"


def test_a_page_in_the_place_of_the_file_is_told_as_one(tmp_path):
    with server(faults=[fault("html-200")]).in_thread() as host:
        report = fetch(url_of(host), settings_for(tmp_path))
    assert (report.exit_code, report.results[0].error.code) == (4, "not-the-file")


def test_a_file_that_is_not_there_is_3(host, tmp_path):
    report = fetch(url_of(host, f"other-{PREFIX}.pth"), settings_for(tmp_path))
    assert report.exit_code == 3
    assert not checkpoints(tmp_path).exists()


def test_an_unknown_name_of_torchs_is_3_and_near_ones_are_named(tmp_path):
    report = fetch("torch:resnet5", settings_for(tmp_path))
    assert report.exit_code == 3
    assert "torch:resnet50" in report.results[0].error.hint


def test_torchs_name_comes_from_a_mirror_of_its_host(tmp_path, monkeypatch):
    monkeypatch.setitem(
        __import__("chunkdl.identify.torchhub", fromlist=["table"]).table().models,
        "tiny",
        {"DEFAULT": "V1", "V1": f"http://127.0.0.1:9/models/{NAME}"},
    )
    with server().in_thread() as mirror:
        settings = settings_for(tmp_path, url_mirrors=(copy_at(mirror, of="http://127.0.0.1:9/models/"),))
        report = fetch("torch:tiny", settings)
        assert only(report).verified == "prefix"
        assert report.results[0].repo == "tiny"
        offline = replace(settings, offline=True, offline_because="--offline")
        assert fetch("torch:tiny.V1", offline).results[0].path == report.results[0].path


def test_offline_gives_what_is_there_and_can_be_known(host, tmp_path):
    settings = settings_for(tmp_path)
    offline = replace(settings, offline=True, offline_because="HF_HUB_OFFLINE")
    missed = fetch(url_of(host), offline)
    assert (missed.exit_code, missed.results[0].error.code) == (3, "offline")
    checkpoints(tmp_path).mkdir(parents=True)
    (checkpoints(tmp_path) / NAME).write_bytes(CONTENT.read(0, SIZE))
    assert only(fetch(url_of(host), offline)).digest == f"sha256:{CONTENT.sha256}"
    (checkpoints(tmp_path) / NAME).write_bytes(OTHER.read(0, SIZE))
    assert "nothing says" in fetch(url_of(host), offline).results[0].error.message
    (checkpoints(tmp_path) / BARE).write_bytes(b"whose?")
    assert fetch(url_of(host, BARE), offline).exit_code == 3
    assert host.requests == 0


def test_a_dry_run_fetches_nothing_and_says_what_would_prove_it(host, tmp_path):
    report = fetch(url_of(host), settings_for(tmp_path), dry_run=True)
    assert only(report).digest == f"sha256-prefix:{PREFIX}"
    assert not checkpoints(tmp_path).exists()


def test_a_file_that_changes_in_the_middle_is_never_mixed(tmp_path):
    settings = settings_for(tmp_path)
    with server({BARE: CONTENT}, faults=[fault("wrong-etag", skip=2)]).in_thread() as host:
        report = fetch(url_of(host, BARE), settings, allow_unverified=True)
    assert report.exit_code == 4
    assert not (checkpoints(tmp_path) / BARE).exists()


def test_an_interrupted_fetch_goes_on_from_what_is_stored(host, tmp_path):
    def watch(event):
        if isinstance(event, Progress) and event.done_bytes > SIZE // 4:
            running[0].cancel()

    async def interrupted():
        running.append(asyncio.create_task(run_fetch([url_of(host)], FetchOptions(), settings_for(tmp_path), watch)))
        with pytest.raises(asyncio.CancelledError):
            await running[0]

    running = []

    host.rate_bytes_per_s = SIZE // 6  # of which a quarter is waited for
    asyncio.run(interrupted())
    left = sorted(each.name for each in checkpoints(tmp_path).iterdir())
    assert left == [f".{NAME}.{PREFIX}.chunkdl-journal", f".{NAME}.{PREFIX}.chunkdl-part"]
    host.rate_bytes_per_s, before = None, host.bytes_served
    report = fetch(url_of(host), settings_for(tmp_path))
    assert only(report).source == "partial"
    assert host.bytes_served - before < SIZE
    assert [each.name for each in checkpoints(tmp_path).iterdir()] == [NAME]


def test_two_fetches_of_one_file_at_once_take_its_bytes_once(host, tmp_path):
    async def twice():
        runs = [run_fetch([url_of(host)], FetchOptions(), settings_for(tmp_path)) for _ in range(2)]
        return await asyncio.wait_for(asyncio.gather(*runs), 100)

    host.rate_bytes_per_s = SIZE // 3  # time for both to begin
    reports = asyncio.run(twice())
    assert {only(each).digest for each in reports} == {f"sha256:{CONTENT.sha256}"}
    assert host.bytes_served < SIZE * 1.5


def test_a_redirect_to_a_page_is_told_and_one_to_the_file_is_followed(host, tmp_path):
    with server(faults=[fault("redirect", to=url_of(host))]).in_thread() as first:
        assert only(fetch(url_of(first), settings_for(tmp_path))).verified == "prefix"
    with server(faults=[fault("html-200")]).in_thread() as page:
        redirects = fault("redirect", to=url_of(page))
        with server(faults=[redirects]).in_thread() as second:
            report = fetch(url_of(second), settings_for(tmp_path / "other"))
    assert (report.exit_code, report.results[0].error.code) == (4, "not-the-file")


def test_the_library_takes_the_same_names(host, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CHUNKDL_STATE_DIR", str(tmp_path / "state"))
    result = chunkdl.fetch(url_of(host), offline=False)
    assert result.path == checkpoints(tmp_path) / NAME
    with server({BARE: CONTENT}).in_thread() as bare:
        with pytest.raises(chunkdl.FetchFailed) as refused:
            chunkdl.fetch(url_of(bare, BARE), offline=False)
        assert refused.value.exit_code == 7
        assert chunkdl.fetch(url_of(bare, BARE), offline=False, allow_unverified=True).path.name == BARE


def test_a_file_can_be_taken_without_torch_but_not_read(host, tmp_path, monkeypatch):
    monkeypatch.setenv("CHUNKDL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setitem(sys.modules, "torch.hub", None)
    chunkdl.download_url_to_file(url_of(host), str(tmp_path / "x.pth"), PREFIX, progress=False)
    assert CONTENT.first_difference((tmp_path / "x.pth").read_bytes()) is None
    with pytest.raises(chunkdl.ChunkdlError, match="torch, which is not installed"):
        chunkdl.load_state_dict_from_url(url_of(host), str(tmp_path), progress=False)
    with pytest.raises(FileNotFoundError):
        chunkdl.download_url_to_file(url_of(host), str(tmp_path / "none" / "x.pth"), progress=False)
