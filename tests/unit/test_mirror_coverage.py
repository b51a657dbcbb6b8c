"""Who has what, and who may hear a name: with hubs that live in a dictionary."""

import asyncio
import json

import pytest
from hub_stage import ORIGIN, REPO, Answer, Hubs, mirror, refused, settings

from chunkdl.errors import ConnectFailed
from chunkdl.identify.authority import Identified
from chunkdl.identify.references import parse_reference
from chunkdl.mirrors.coverage import State, cover
from chunkdl.mirrors.evaluation import _may_hear
from chunkdl.mirrors.inquiry import inquire
from chunkdl.model import Artifact, Authority, AuthorityKind, MirrorKind
from chunkdl.testing import HubRepo

NEWER = HubRepo("org/name", {"config.json": b"{1}"}, last_modified="2025-05-05T00:00:00.000Z")
PRIVATE = HubRepo("org/name", {"config.json": b"{}"}, private=True)
GATED = HubRepo("org/name", {"config.json": b"{}"}, gated="auto")


def matrix(told, hubs, texts=("org/name",), limit_s=30):
    client = Hubs(hubs)
    rows = asyncio.run(cover([parse_reference(each) for each in texts], settings=told, client=client, limit_s=limit_s))
    return rows, client


def states(row):
    return {name: cell.state for name, cell in row.cells.items()}


class TestCoverage:
    def test_each_cell_says_what_a_mirror_answered(self, tmp_path):
        told = settings(tmp_path, *(mirror(each) for each in ("same", "other", "absent", "silent", "shut")))
        hubs = {
            ORIGIN: REPO,
            "https://same.example": REPO,
            "https://other.example": NEWER,
            "https://absent.example": refused(404, "RepoNotFound"),
            "https://shut.example": refused(403, "GatedRepo"),
        }
        [row], _ = matrix(told, hubs)
        assert states(row) == {
            "origin": State.THERE,
            "same": State.SAME,
            "other": State.OTHER,
            "absent": State.ABSENT,
            "silent": State.SILENT,
            "shut": State.REFUSED,
        }
        assert row.cells["other"].modified.startswith("2025-05-05")

    def test_one_question_a_cell_and_never_a_listing(self, tmp_path):
        _, client = matrix(settings(tmp_path, mirror("m")), {ORIGIN: REPO, "https://m.example": REPO})
        assert len(client.asked) == 2
        assert all("/tree/" not in url for _, url in client.asked)

    @pytest.mark.parametrize("repo", [PRIVATE, GATED])
    def test_private_and_gated_names_go_no_further(self, tmp_path, repo):
        rows, client = matrix(settings(tmp_path, mirror("m")), {ORIGIN: repo, "https://m.example": repo})
        assert states(rows[0])["m"] is State.NOT_ASKED
        assert client.names() == {"origin"}

    def test_a_name_that_may_be_private_goes_nowhere_while_the_origin_is_silent(self, tmp_path):
        told = settings(tmp_path, mirror("m"), token="hf_x")
        rows, client = matrix(told, {"https://m.example": REPO})
        assert states(rows[0]) == {"origin": State.SILENT, "m": State.NOT_ASKED}
        assert client.names() == {"origin"}
        told = settings(tmp_path, mirror("m"), private=("org/*",))
        assert matrix(told, {"https://m.example": REPO})[1].names() == {"origin"}

    def test_a_private_name_in_another_spelling_goes_no_further(self, tmp_path):
        """In another case, or one by which the origin called the repository earlier."""
        told = settings(tmp_path, mirror("m"), private=("org/*",))
        elder = Answer(body=json.dumps(REPO.info()).encode())
        for text in ("Org/Name", "name"):
            rows, client = matrix(told, {ORIGIN: elder, "https://m.example": REPO}, (text,))
            assert states(rows[0])["m"] is State.NOT_ASKED
            assert client.names() == {"origin"}

    def test_without_an_origin_what_is_there_is_told(self, tmp_path):
        rows, _ = matrix(settings(tmp_path, mirror("m")), {"https://m.example": REPO})
        assert states(rows[0]) == {"origin": State.SILENT, "m": State.THERE}

    def test_what_does_not_answer_in_time_is_silent(self, tmp_path):
        rows, _ = matrix(settings(tmp_path, mirror("m")), {ORIGIN: None}, limit_s=0.01)
        assert states(rows[0]) == {"origin": State.SILENT, "m": State.SILENT}

    def test_a_plain_folder_tells_no_commits(self, tmp_path):
        told = settings(tmp_path, mirror("m", kind=MirrorKind.STATIC))
        assert states(matrix(told, {ORIGIN: REPO})[0][0])["m"] is State.NOT_ASKED


class TestMeasuring:
    def test_a_private_name_is_told_by_no_spelling(self, tmp_path):
        told = settings(tmp_path, mirror("m"), private=("corp/*",))
        authority = Authority(AuthorityKind.ORIGIN, ORIGIN, authenticated=True)
        reference = parse_reference("elder-name")
        for canonical_id, may in (("corp/name", False), ("Corp/Name", False), ("open/name", True)):
            artifact = Artifact(reference, canonical_id, REPO.commit, (), authority)
            identified = Identified(artifact, (), told.mirrors)
            assert _may_hear(told.mirrors[0], reference, identified, told) is may
            assert _may_hear(told.origin, reference, identified, told)


class TestInquiry:
    def ask(self, tmp_path, hub, text="org/name", **changes):
        told = settings(tmp_path, mirror("m", **changes))
        reference = parse_reference(text)
        files = tuple(
            asyncio.run(_listing(REPO, told)).story.files  # as the origin lists them
        )
        authority = Authority(AuthorityKind.ORIGIN, ORIGIN, authenticated=True)
        artifact = Artifact(reference, "org/name", REPO.commit, files, authority)
        client = Hubs({"https://m.example": hub})
        return asyncio.run(inquire(reference, artifact, told.mirrors[0], client=client, settings=told))

    def test_the_same_commit(self, tmp_path):
        held = self.ask(tmp_path, REPO)
        assert (held.same_commit, held.has_repo, held.share, held.heard) == (True, True, 1.0, True)

    def test_another_commit_with_the_wanted_one_behind_it(self, tmp_path):
        ahead = HubRepo(
            "org/name", {"config.json": b"{1}"}, older=(HubRepo("org/name", dict(REPO.files), branches=()),)
        )
        held = self.ask(tmp_path, ahead)
        assert (held.same_commit, held.has_commit, held.share) == (False, True, 1.0)

    def test_a_commit_behind_another_is_compared_by_what_it_lists(self, tmp_path):
        other = {**REPO.files, "model.safetensors": b"others!"}
        behind = HubRepo("org/name", other, commit=REPO.commit, branches=())
        held = self.ask(tmp_path, HubRepo("org/name", {"config.json": b"{1}"}, older=(behind,)))
        assert (held.same_commit, held.has_commit) == (False, True)
        assert held.coverage.refused == {"model.safetensors"}
        assert held.share == pytest.approx(1 - 7 / sum(map(len, REPO.files.values())))

    def test_another_commit_alone(self, tmp_path):
        held = self.ask(tmp_path, NEWER)
        assert (held.has_commit, held.commit, held.absent, held.different) == (False, NEWER.commit, 2, 1)

    def test_a_commit_that_is_asked_for_and_is_not_there(self, tmp_path):
        held = self.ask(tmp_path, NEWER, f"org/name@{REPO.commit}")
        assert (held.commit, held.same_commit) == (NEWER.commit, False)

    @pytest.mark.parametrize(
        ("hub", "heard", "has_repo"),
        [
            (refused(404, "RepoNotFound"), True, False),
            (refused(403, "GatedRepo"), True, None),
            (refused(500), True, None),
            (Answer(body=b"<html>"), True, None),
            (ConnectFailed("m: refused", mirror="m"), False, None),
        ],
    )
    def test_failures_are_results(self, tmp_path, hub, heard, has_repo):
        held = self.ask(tmp_path, hub)
        assert (held.heard, held.has_repo, held.share) == (heard, has_repo, 0.0)
        assert held.note.startswith(("m", "org/name"))

    def test_a_plain_folder_is_believed_to_have_it_until_it_is_measured(self, tmp_path):
        held = self.ask(tmp_path, REPO, kind=MirrorKind.STATIC)
        assert (held.share, held.commit, held.heard) == (1.0, None, False)


async def _listing(repo, told):
    reference = parse_reference("org/name")
    return await inquire(reference, None, told.origin, client=Hubs({ORIGIN: repo}), settings=told)
