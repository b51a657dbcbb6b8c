import json

import pytest

from chunkdl.errors import MirrorMisbehaved, NotTheFile
from chunkdl.identify.modelscope_answers import EMPTY_SHA256, day_of, parse_entries, parse_envelope, parse_refs
from chunkdl.model import Mirror

MIRROR = Mirror("https://ms.example", "ms")
SHA = "ab" * 32


def envelope(**answer):
    return parse_envelope(json.dumps(answer).encode(), MIRROR)


def entry(**more):
    return {"Path": "a/b.bin", "Type": "blob", "Size": 5, "Sha256": SHA, **more}


class TestEnvelope:
    def test_a_success_holds_data(self):
        told = envelope(Code=200, Success=True, Data={"Files": []})
        assert (told.failed, told.data) == (False, {"Files": []})

    @pytest.mark.parametrize(
        "answer",
        [
            {"Code": 200, "Success": False, "Data": {"Files": []}},
            {"Code": 10010205001, "Success": True},
            {"Code": "404"},
            {"Code": None, "Data": []},
        ],
    )
    def test_anything_else_is_a_failure_whatever_it_holds(self, answer):
        assert envelope(**answer).failed

    def test_what_is_said_fits_into_a_line(self):
        told = envelope(Code=500, Message="no\n\x1b[31m way " + "x" * 999)
        assert told.said.startswith("no[31m way")
        assert len(told.said) == 200

    @pytest.mark.parametrize("body", [b"", b"<html>", b'{"Code": 200'])
    def test_no_json_is_not_the_answer(self, body):
        with pytest.raises(NotTheFile):
            parse_envelope(body, MIRROR)

    @pytest.mark.parametrize("body", [b"[]", b"{}", b'"Data"', b'{"error": "x"}'])
    def test_json_of_somebody_else_is_refused(self, body):
        with pytest.raises(MirrorMisbehaved, match="does not answer as ModelScope does"):
            parse_envelope(body, MIRROR)


class TestEntries:
    def test_are_read_with_commit_and_time(self):
        commit = "12" * 20
        [found] = parse_entries({"Files": [entry(Revision=commit, CommittedDate=1_700_000_000)]}, MIRROR)
        assert (found.path, found.size, found.sha256) == ("a/b.bin", 5, SHA)
        assert (found.commit, found.committed_at, found.is_folder) == (commit, 1_700_000_000.0, False)

    def test_folders_have_neither_size_nor_digest_and_submodules_are_none(self):
        listed = [{"Path": "a", "Type": "tree", "Size": None}, {"Path": "sub", "Type": "commit"}]
        [found] = parse_entries({"Files": listed}, MIRROR)
        assert (found.path, found.is_folder) == ("a", True)

    def test_a_digest_may_be_missing_or_in_capitals(self):
        listed = [entry(Sha256=""), entry(Path="c", Sha256=SHA.upper()), entry(Path="d", Sha256=None)]
        assert [each.sha256 for each in parse_entries({"Files": listed}, MIRROR)] == ["", SHA, ""]

    def test_no_length_is_one_only_for_the_empty_content(self):
        empty, unknown = parse_entries([entry(Size=0, Sha256=EMPTY_SHA256), entry(Size=0)], MIRROR)
        assert (empty.sized, unknown.sized) == (True, False)

    def test_an_empty_folder_may_come_as_null(self):
        assert parse_entries({"Files": None}, MIRROR) == []

    @pytest.mark.parametrize(
        "data",
        [
            None,
            "x",
            {"Files": {}},
            {"Files": ["x"]},
            [entry(Path="")],
            [entry(Path=7)],
            [entry(Size=-1)],
            [entry(Size="5")],
            [entry(Size=True)],
            [entry(Size=1 << 63)],
            [entry(Sha256="xy" * 32)],
            [entry(Sha256=7)],
        ],
    )
    def test_what_cannot_be_believed_is_refused(self, data):
        with pytest.raises(MirrorMisbehaved, match="its listing is refused"):
            parse_entries(data, MIRROR)

    def test_a_time_that_is_none_is_unknown(self):
        for at in ("yesterday", -1, None, 1e300):
            [found] = parse_entries([entry(CommittedDate=at)], MIRROR)
            assert found.committed_at == 0.0


class TestRefs:
    def test_are_branches_then_tags(self):
        named = {"Branches": [{"Revision": "master"}, {"Revision": "dev"}], "Tags": [{"Revision": "v1"}]}
        assert parse_refs({"RevisionMap": named}, MIRROR) == ("master", "dev", "v1")

    def test_missing_kinds_and_odd_names_are_left_out(self):
        named = {"Branches": None, "Tags": [{"Revision": "a\nb"}, {"Revision": 7}, "x", {"Revision": "v1"}]}
        assert parse_refs({"RevisionMap": named}, MIRROR) == ("v1",)

    def test_no_map_is_refused(self):
        with pytest.raises(MirrorMisbehaved, match="names no revisions"):
            parse_refs([], MIRROR)


@pytest.mark.parametrize(("at", "day"), [(0.0, ""), (1_700_000_000.0, "2023-11-14"), (4e18, "")])
def test_days(at, day):
    assert day_of(at) == day
