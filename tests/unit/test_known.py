import asyncio
import os
from dataclasses import replace

import pytest

from chunkdl.identify.fingerprints import fingerprint
from chunkdl.identify.known import Earlier, Known
from chunkdl.identify.references import parse_reference
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, RemoteFile

COMMIT, ORIGIN, NOW = "c" * 40, "https://origin.example", 1_700_000_000.0
REFERENCE = parse_reference("org/name")
PINNED = parse_reference(f"org/name@{COMMIT}")
FILES = (
    RemoteFile("a/模型.bin", 5, Digest.parse("sha256:" + "a" * 64), pointer_oid="d" * 40, xet_hash="e" * 64),
    RemoteFile("config.json", 0, Digest.parse("git-sha1:" + "b" * 40)),
)
ARTIFACT = Artifact(REFERENCE, "real/name", COMMIT, FILES, Authority(AuthorityKind.ORIGIN, ORIGIN, True))


@pytest.fixture
def known(tmp_path):
    return Known(tmp_path / "state", ORIGIN)


def run(coroutine):
    return asyncio.run(coroutine)


def files_of(tmp_path):
    return [each for each in (tmp_path / "state").rglob("*") if each.is_file()]


class TestListing:
    def test_comes_back_as_last_known_with_its_age(self, known):
        run(known.remember(Earlier(ARTIFACT), NOW))
        earlier = run(known.last(REFERENCE))
        assert earlier.artifact.files == FILES
        assert (earlier.artifact.canonical_id, earlier.artifact.commit) == ("real/name", COMMIT)
        assert earlier.artifact.authority == Authority(AuthorityKind.LAST_KNOWN, ORIGIN, True, NOW)
        assert (earlier.private, earlier.gated) == (False, False)

    def test_is_found_by_its_commit_too(self, known):
        run(known.remember(Earlier(ARTIFACT), NOW))
        assert run(known.last(PINNED)).artifact.files == FILES

    def test_is_read_without_a_loop_and_nothing_else_is(self, known, tmp_path):
        assert known.listed(REFERENCE, COMMIT) == ()
        run(known.remember(Earlier(ARTIFACT), NOW))
        assert known.listed(REFERENCE, COMMIT) == FILES
        assert known.listed(REFERENCE, "d" * 40) == ()
        for torn in (b"", b"[]", b'{"form": 1}', b'{"form": 0}'):
            for each in files_of(tmp_path):
                each.write_bytes(torn)
            assert known.listed(REFERENCE, COMMIT) == ()

    def test_of_a_pin_teaches_nothing_about_main(self, known, tmp_path):
        run(known.remember(Earlier(replace(ARTIFACT, reference=PINNED)), NOW))
        assert run(known.last(PINNED)) is not None
        assert run(known.last(REFERENCE)) is None
        assert len(files_of(tmp_path)) == 1

    def test_belongs_to_its_origin_revision_and_type(self, known, tmp_path):
        run(known.remember(Earlier(ARTIFACT), NOW))
        assert run(Known(tmp_path / "state", "https://other.example").last(REFERENCE)) is None
        assert run(known.last(parse_reference("org/name@dev"))) is None
        assert run(known.last(parse_reference("datasets/org/name"))) is None

    def test_remembers_that_plain_http_said_it_and_who_may_hear(self, known):
        plain = replace(ARTIFACT, authority=Authority(AuthorityKind.ORIGIN, ORIGIN, authenticated=False))
        run(known.remember(Earlier(plain, private=True, gated=True), NOW))
        earlier = run(known.last(REFERENCE))
        assert not earlier.artifact.authority.authenticated
        assert (earlier.private, earlier.gated) == (True, True)

    @pytest.mark.parametrize(
        "spoilt", [b"", b"{", b"[]", b'{"form": 1}', b'{"form": 0}', b"\xff", b'{"form":1,"files":[[1]]}']
    )
    def test_that_does_not_read_back_is_absent(self, known, tmp_path, spoilt):
        run(known.remember(Earlier(ARTIFACT), NOW))
        for path in files_of(tmp_path):
            path.write_bytes(spoilt)
        assert run(known.last(REFERENCE)) is None
        assert run(known.last(PINNED)) is None
        assert known.trouble is None

    def test_no_temporary_file_stays(self, known, tmp_path):
        run(known.remember(Earlier(ARTIFACT), NOW))
        assert len(files_of(tmp_path)) == 2
        assert all(each.suffix == ".json" and not each.name.startswith(".") for each in files_of(tmp_path))


class TestSilence:
    def test_is_remembered_until_the_origin_answers(self, known):
        assert run(known.silent_since()) is None
        run(known.note_silence(NOW))
        assert run(known.silent_since()) == NOW
        run(known.note_answer())
        assert run(known.silent_since()) is None
        run(known.note_answer())
        assert known.trouble is None


class TestUnconfirmed:
    def test_stays_until_settled(self, known):
        vouched = replace(ARTIFACT, authority=Authority(AuthorityKind.MIRRORS, "a, b", authenticated=False))
        run(known.note_unconfirmed(vouched, NOW))
        earlier = run(known.unconfirmed(REFERENCE))
        assert (earlier.commit, earlier.vouchers, earlier.at) == (COMMIT, "a, b", NOW)
        assert earlier.fingerprint == fingerprint(FILES)
        run(known.settle(REFERENCE))
        assert run(known.unconfirmed(REFERENCE)) is None


class TestBrokenState:
    def test_a_file_in_the_way_costs_memory_not_the_fetch(self, tmp_path):
        (tmp_path / "state").write_text("not a folder")
        known = Known(tmp_path / "state", ORIGIN)
        run(known.remember(Earlier(ARTIFACT), NOW))
        assert known.trouble
        assert run(known.last(REFERENCE)) is None

    def test_what_others_may_write_to_is_not_believed(self, known, tmp_path):
        run(known.remember(Earlier(ARTIFACT), NOW))
        [folder] = {each.parent for each in files_of(tmp_path)}
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.chmod(0o777)
        assert run(known.last(REFERENCE)) is None
        assert "others may write" in known.trouble

    def test_what_another_user_owns_is_not_believed(self, known, monkeypatch):
        run(known.remember(Earlier(ARTIFACT), NOW))
        monkeypatch.setattr(os, "getuid", lambda: 54321)
        assert run(known.last(REFERENCE)) is None
        assert "somebody else" in known.trouble


def test_fingerprint_ignores_order_and_nothing_else():
    assert fingerprint(FILES) == fingerprint(FILES[::-1])
    for change in ({"path": "x"}, {"size": 6}, {"digest": Digest.parse("sha256:" + "f" * 64)}):
        assert fingerprint((replace(FILES[0], **change), FILES[1])) != fingerprint(FILES)
    assert fingerprint(FILES[:1]) != fingerprint(FILES)
