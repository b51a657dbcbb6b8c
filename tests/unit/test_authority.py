import asyncio
from dataclasses import replace

import pytest
from hub_stage import FILES, NOW, ORIGIN, REPO, Answer, Hubs, known, mirror, refused, settings

from chunkdl.errors import (
    AccessDenied,
    ArtifactNotFound,
    AuthorityUnreachable,
    OfflineMiss,
    PlacementRefused,
    PolicyRefused,
    Stalled,
)
from chunkdl.identify import asking
from chunkdl.identify.authority import confirm_with_origin, identify, relayed
from chunkdl.identify.known import Earlier
from chunkdl.identify.references import parse_reference
from chunkdl.model import AuthorityKind, Mirror
from chunkdl.testing import HubRepo

REFERENCE = parse_reference("org/name")
A, B, C = (mirror(name) for name in "abc")
OTHER = HubRepo("org/name", {**FILES, "config.json": b"{ }"}, last_modified="2023-01-01T00:00:00.000Z")
EXPIRED = refused(401, message="Invalid credentials in Authorization header")
A_URL, B_URL, C_URL = A.url, B.url, C.url


def ask(hubs, of, reference=REFERENCE, now=NOW, **changes):
    return asyncio.run(identify(reference, settings=of, client=hubs, known=known(of), now=now, **changes))


def codes(identified):
    return [each.code for each in identified.notices]


class TestOrigin:
    def test_is_believed_and_serves(self, tmp_path):
        identified = ask(Hubs({ORIGIN: REPO}), settings(tmp_path))
        assert identified.artifact.commit == REPO.commit
        assert identified.artifact.authority.kind is AuthorityKind.ORIGIN
        assert identified.artifact.authority.authenticated
        assert [each.mirror.name for each in identified.sources] == ["origin"]
        assert not identified.confirm
        assert identified.notices == ()

    def test_outvotes_any_number_of_mirrors(self, tmp_path):
        hubs = Hubs({ORIGIN: REPO, A_URL: OTHER, B_URL: OTHER, C_URL: OTHER})
        assert ask(hubs, settings(tmp_path, A, B, C)).artifact.commit == REPO.commit

    def test_keeps_the_typed_name_beside_the_canonical_one(self, tmp_path):
        repo = HubRepo("bert", FILES, canonical_id="google/bert")
        artifact = ask(Hubs({ORIGIN: repo}), settings(tmp_path), parse_reference("bert")).artifact
        assert (artifact.reference.repo_id, artifact.canonical_id) == ("bert", "google/bert")

    @pytest.mark.parametrize(
        ("answer", "kind"), [(refused(404, "RepoNotFound"), ArtifactNotFound), (refused(401), ArtifactNotFound)]
    )
    def test_has_the_last_word_on_what_does_not_exist(self, tmp_path, answer, kind):
        with pytest.raises(kind):
            ask(Hubs({ORIGIN: answer, A_URL: REPO}), settings(tmp_path, A))

    def test_with_a_hostile_path_is_refused(self, tmp_path):
        with pytest.raises(PlacementRefused):
            ask(Hubs({ORIGIN: HubRepo("org/name", {"../x": b""})}), settings(tmp_path))

    def test_over_plain_http_is_not_authenticated_and_strict_refuses_it(self, tmp_path):
        plain = Mirror("http://10.0.0.5:8090", "lab", is_origin=True)
        of = replace(settings(tmp_path), origin=plain)
        assert not ask(Hubs({plain.url: REPO}), of).artifact.authority.authenticated
        with pytest.raises(PolicyRefused, match="plain HTTP") as caught:
            ask(Hubs({plain.url: REPO}), replace(of, trust="strict"))
        assert caught.value.exit_code == 7

    def test_that_never_answers_is_given_up_in_bounded_time(self, tmp_path):
        of = settings(tmp_path, metadata_s=0.01)
        with pytest.raises(AuthorityUnreachable, match=r"0\.01 s") as caught:
            ask(Hubs({ORIGIN: None}), of)
        assert caught.value.exit_code == 4

    def test_pages_that_never_end_in_time_are_given_up(self, tmp_path, monkeypatch):
        of, paged = settings(tmp_path, metadata_s=5.0, trust="strict"), Hubs({ORIGIN: REPO}, pages=1)
        assert len(ask(paged, of).artifact.files) == 3
        monkeypatch.setattr(asking, "_MOST_PATIENCE", 0)
        with pytest.raises(AuthorityUnreachable, match="no complete answer"):
            ask(paged, of)

    def test_does_not_wait_for_a_silent_mirror(self, tmp_path):
        of = settings(tmp_path, A, metadata_s=3600.0)
        identified = ask(Hubs({ORIGIN: REPO, A_URL: None}), of)
        assert identified.to_ask == (A,)

    def test_a_mirror_whose_main_differs_is_asked_for_the_commit_all_the_same(self, tmp_path):
        behind = replace(OTHER, older=(replace(REPO, branches=()),))
        identified = ask(Hubs({ORIGIN: REPO, A_URL: behind, B_URL: REPO}), settings(tmp_path, A, B))
        assert identified.to_ask[:1] == (A,)
        assert A not in [each.mirror for each in identified.sources]

    def test_state_that_cannot_be_used_is_said_once(self, tmp_path):
        (tmp_path / "state").write_text("")
        assert codes(ask(Hubs({ORIGIN: REPO}), settings(tmp_path))) == ["state-unusable"]


class TestCancellation:
    def test_leaves_no_task_behind_and_stays_a_cancellation(self, tmp_path):
        of, hubs = settings(tmp_path, A, B), Hubs({ORIGIN: None, A_URL: None, B_URL: None})

        async def go():
            task = asyncio.create_task(identify(REFERENCE, settings=of, client=hubs, known=known(of), now=NOW))
            for _ in range(3):
                await hubs.silent.acquire()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return asyncio.all_tasks() - {asyncio.current_task()}

        assert asyncio.run(go()) == set()


class TestOffline:
    def test_asks_nobody(self, tmp_path):
        hubs = Hubs({ORIGIN: REPO})
        with pytest.raises(OfflineMiss, match="HF_HUB_OFFLINE"):
            ask(hubs, settings(tmp_path, offline=True, offline_because="HF_HUB_OFFLINE"))
        assert hubs.asked == []


class TestWhoHears:
    def test_without_a_token_mirrors_are_asked_at_once(self, tmp_path):
        hubs = Hubs({ORIGIN: REPO, A_URL: REPO})
        ask(hubs, settings(tmp_path, A))
        assert hubs.names() == {"origin", "a"}

    def test_with_a_token_only_after_the_origin_has_spoken(self, tmp_path):
        hubs = Hubs({ORIGIN: REPO, A_URL: REPO})
        identified = ask(hubs, settings(tmp_path, A, token="hf_x"))
        assert hubs.names() == {"origin"}
        assert identified.to_ask == (A,)

    def test_nobody_hears_of_a_private_repository(self, tmp_path):
        private = HubRepo("org/name", FILES, private=True)
        identified = ask(Hubs({ORIGIN: private}), settings(tmp_path, A, token="hf_x"))
        assert identified.to_ask == ()

    def test_nobody_hears_names_that_the_user_keeps_private(self, tmp_path):
        for origin in (REPO, None):
            hubs = Hubs({ORIGIN: origin, A_URL: REPO})
            of = settings(tmp_path / str(origin), A, private=("org/*",), metadata_s=0.01)
            try:
                assert ask(hubs, of).to_ask == ()
            except AuthorityUnreachable:
                assert origin is None
            assert hubs.names() == {"origin"}

    def test_a_name_that_the_origin_leads_on_to_can_be_the_private_one(self, tmp_path):
        renamed = HubRepo("old/name", FILES, canonical_id="corp/secret")
        of = settings(tmp_path, A, B, token="hf_x", private=("corp/*",))
        told = parse_reference("old/name")
        identified = ask(Hubs({ORIGIN: renamed}), of, told)
        assert (identified.artifact.canonical_id, identified.to_ask) == ("corp/secret", ())
        relay = known(of)
        relay.name = "us"
        asyncio.run(relay.remember(Earlier(identified.artifact), NOW))
        again = asyncio.run(relayed(told, settings=of, known=relay, told={"us"}))
        assert again.to_ask == ()
        assert ask(Hubs({}), of, told).to_ask == ()

    def test_nor_is_it_told_on_when_a_mirror_says_it(self, tmp_path):
        renamed = HubRepo("old/name", FILES, canonical_id="corp/secret")
        of = settings(tmp_path, A, B, private=("corp/*",))
        assert ask(Hubs({A_URL: renamed}), of, parse_reference("old/name")).to_ask == ()

    def test_a_silent_origin_and_a_token_is_said(self, tmp_path):
        identified = ask(Hubs({A_URL: REPO}), settings(tmp_path, A, token="hf_x"))
        assert codes(identified) == ["name-told", "one-mirror-unconfirmed"]

    def test_strict_asks_mirrors_nothing_before_the_origin_answers(self, tmp_path):
        hubs = Hubs({ORIGIN: REPO, A_URL: REPO})
        assert ask(hubs, settings(tmp_path, A, trust="strict")).to_ask == (A,)
        assert hubs.names() == {"origin"}


class TestGate:
    GATED = HubRepo("org/name", FILES, gated="auto")

    def test_without_a_token_ends_at_the_gate(self, tmp_path):
        with pytest.raises(AccessDenied, match="gated"):
            ask(Hubs({ORIGIN: self.GATED, A_URL: REPO}), settings(tmp_path, A))

    def test_with_a_token_that_does_not_open_it_too(self, tmp_path):
        hubs = Hubs({ORIGIN: self.GATED, A_URL: REPO}, content=refused(403, "GatedRepo"))
        with pytest.raises(AccessDenied, match="gated"):
            ask(hubs, settings(tmp_path, A, token="hf_x"))
        assert hubs.names() == {"origin"}

    def test_with_access_only_mirrors_with_a_token_of_their_own_are_asked(self, tmp_path):
        opened = mirror("b", token="b_token")
        identified = ask(Hubs({ORIGIN: self.GATED}), settings(tmp_path, A, opened, token="hf_x"))
        assert identified.to_ask == (opened,)
        assert codes(identified) == ["gated"]

    def test_is_remembered_while_the_origin_is_silent(self, tmp_path):
        of = settings(tmp_path, A, token="hf_x")
        ask(Hubs({ORIGIN: self.GATED}), of)
        assert ask(Hubs({A_URL: REPO}), of).to_ask == ()

    def test_one_mirror_that_names_it_closes_the_detour(self, tmp_path):
        with pytest.raises(AccessDenied, match="gated"):
            ask(Hubs({A_URL: self.GATED, B_URL: REPO}), settings(tmp_path, A, B))


class TestLastKnown:
    def test_stands_in_for_a_silent_origin_with_its_age(self, tmp_path):
        of = settings(tmp_path, A)
        ask(Hubs({ORIGIN: REPO}), of)
        hubs = Hubs({A_URL: OTHER})
        identified = ask(hubs, of, now=NOW + 3 * 86_400)
        assert identified.artifact.commit == REPO.commit
        assert identified.artifact.authority.kind is AuthorityKind.LAST_KNOWN
        assert identified.artifact.authority.as_of == NOW
        assert identified.to_ask == (A,)
        assert identified.confirm
        assert "3 days ago" in identified.notices[0].message

    def test_is_no_authority_under_strict(self, tmp_path):
        of = settings(tmp_path, trust="strict")
        ask(Hubs({ORIGIN: REPO}), of)
        with pytest.raises(AuthorityUnreachable):
            ask(Hubs({}), of)

    def test_an_origin_whose_api_is_tired_still_serves_bytes(self, tmp_path):
        of = settings(tmp_path, A)
        ask(Hubs({ORIGIN: REPO}), of)
        assert [each.mirror.name for each in ask(Hubs({ORIGIN: refused(429)}), of).sources] == ["origin"]
        assert ask(Hubs({}), of).sources == ()

    def test_a_silent_origin_is_a_source_all_the_same_if_nobody_else_may_be_one(self, tmp_path):
        of = settings(tmp_path)
        ask(Hubs({ORIGIN: REPO}), of)
        for silent_for_s in (0, 1):
            identified = ask(Hubs({}), of, now=NOW + silent_for_s)
            assert [each.mirror.name for each in identified.sources] == ["origin"]
            assert identified.artifact.authority.kind is AuthorityKind.LAST_KNOWN
            assert "the origin does not answer" in identified.notices[0].message


class TestMirrorsVouch:
    def test_two_independent_voices(self, tmp_path):
        identified = ask(Hubs({A_URL: OTHER, B_URL: REPO, C_URL: REPO}), settings(tmp_path, A, B, C))
        assert identified.artifact.commit == REPO.commit
        authority = identified.artifact.authority
        assert (authority.kind, authority.name, authority.authenticated) == (AuthorityKind.MIRRORS, "b, c", False)
        assert codes(identified) == ["mirrors-vouch", "mirrors-differ"]
        assert "run.py" in identified.notices[0].message
        assert f"a has commit {OTHER.commit[:12]} of 2023-01-01" in identified.notices[1].message
        assert identified.confirm
        lagging = next(each for each in identified.sources if each.mirror == A)
        assert not lagging.has_commit
        assert set(lagging.elsewhere) == {"model.safetensors", "run.py"}
        assert "2023-01-01" in lagging.lag

    def test_one_voice_is_called_unconfirmed(self, tmp_path):
        identified = ask(Hubs({A_URL: REPO}), settings(tmp_path, A, B))
        assert codes(identified) == ["one-mirror-unconfirmed"]
        assert identified.to_ask == (B,)

    def test_a_mirror_without_what_is_asked_for_does_not_count(self, tmp_path):
        def weights(files):
            chosen = tuple(each for each in files if each.path == "model.safetensors")
            if not chosen:
                raise ArtifactNotFound("no weights")
            return chosen

        poor = HubRepo("org/name", {"README.md": b""})
        assert (
            ask(Hubs({A_URL: poor, B_URL: REPO}), settings(tmp_path, A, B), select=weights).artifact.commit
            == REPO.commit
        )
        with pytest.raises(ArtifactNotFound, match="no weights"):
            ask(Hubs({A_URL: poor}), settings(tmp_path / "other", A), select=weights)

    def test_an_answer_that_does_not_hold_together_does_not_count(self, tmp_path):
        bad = Answer(body=b'[{"type":"file"}]')
        with pytest.raises(AuthorityUnreachable, match="a names no commit"):
            ask(Hubs({A_URL: bad}), settings(tmp_path, A))

    def test_nobody_at_all_names_everybody(self, tmp_path):
        with pytest.raises(AuthorityUnreachable) as caught:
            ask(Hubs({}), settings(tmp_path, A, B))
        assert all(f"{name}: refused" in caught.value.message for name in ("origin", "a", "b"))
        assert caught.value.exit_code == 4

    def test_is_never_believed_under_strict(self, tmp_path):
        with pytest.raises(AuthorityUnreachable, match="origin") as caught:
            ask(Hubs({A_URL: REPO, B_URL: REPO}), settings(tmp_path, A, B, trust="strict"))
        assert "--trust auto" in caught.value.hint


class TestMemoryOfSilence:
    def test_the_origin_is_not_waited_for_again_for_ten_minutes(self, tmp_path):
        of = settings(tmp_path, A)
        ask(Hubs({A_URL: REPO}), of)
        hubs = Hubs({ORIGIN: OTHER, A_URL: REPO})
        identified = ask(hubs, of, now=NOW + 599)
        assert hubs.names() == {"a"}
        assert identified.confirm
        assert "9 minutes ago" in identified.notices[0].message
        assert ask(hubs, of, now=NOW + 601).artifact.commit == OTHER.commit

    def test_it_is_asked_after_all_if_nobody_else_answers(self, tmp_path):
        of = settings(tmp_path, A)
        ask(Hubs({A_URL: REPO}), of)
        assert ask(Hubs({ORIGIN: REPO}), of, now=NOW + 1).artifact.authority.kind is AuthorityKind.ORIGIN

    @pytest.mark.parametrize("hidden", [{}, {"private": True}, {"gated": "auto"}])
    def test_it_is_asked_after_all_if_nobody_else_may_be(self, tmp_path, hidden):
        repo = HubRepo("org/name", FILES, **hidden)
        of = settings(tmp_path, *([A] if hidden else []), token="hf_x")
        ask(Hubs({ORIGIN: repo}), of)
        asyncio.run(known(of).note_silence(NOW))
        hubs = Hubs({ORIGIN: repo, A_URL: repo})
        identified = ask(hubs, of, now=NOW + 1)
        assert identified.artifact.authority.kind is AuthorityKind.ORIGIN
        assert [each.mirror.name for each in identified.sources] == ["origin"]
        assert hubs.names() == {"origin"}

    def test_strict_asks_it_every_time(self, tmp_path):
        of = settings(tmp_path, trust="strict")
        asyncio.run(known(of).note_silence(NOW))
        hubs = Hubs({})
        with pytest.raises(AuthorityUnreachable):
            ask(hubs, of, now=NOW + 1)
        assert hubs.names() == {"origin"}

    def test_an_answer_clears_it(self, tmp_path):
        of = settings(tmp_path)
        for hubs in (Hubs({}), Hubs({ORIGIN: REPO})):
            try:
                ask(hubs, of)
            except AuthorityUnreachable:
                assert asyncio.run(known(of).silent_since()) == NOW
        assert asyncio.run(known(of).silent_since()) is None

    def test_a_busy_origin_is_not_called_silent(self, tmp_path):
        of = settings(tmp_path)
        with pytest.raises(AuthorityUnreachable, match="503"):
            ask(Hubs({ORIGIN: refused(503)}), of)
        assert asyncio.run(known(of).silent_since()) is None

    def test_a_stall_is_remembered(self, tmp_path):
        of = settings(tmp_path)
        with pytest.raises(AuthorityUnreachable):
            ask(Hubs({ORIGIN: Stalled("no answer")}), of)
        assert asyncio.run(known(of).silent_since()) == NOW

    def test_a_clock_that_went_back_forgets(self, tmp_path):
        of = settings(tmp_path, A)
        ask(Hubs({A_URL: REPO}), of)
        assert ask(Hubs({ORIGIN: REPO}), of, now=NOW - 5).artifact.authority.kind is AuthorityKind.ORIGIN


class TestConfirmation:
    def vouched(self, tmp_path, repo=REPO):
        of = settings(tmp_path, A)
        artifact = ask(Hubs({A_URL: repo}), of).artifact
        asyncio.run(known(of).note_unconfirmed(artifact, NOW))
        return of, artifact

    def confirm(self, hubs, of, artifact, **more):
        return asyncio.run(confirm_with_origin(artifact, settings=of, client=hubs, known=known(of), now=NOW, **more))

    def test_in_the_same_run_makes_it_authentic(self, tmp_path):
        of, artifact = self.vouched(tmp_path)
        authentic = self.confirm(Hubs({ORIGIN: REPO}), of, artifact)
        assert authentic.authority.kind is AuthorityKind.ORIGIN
        assert authentic.files == artifact.files

    def test_waits_for_nobody_for_ever(self, tmp_path):
        of, artifact = self.vouched(tmp_path)
        assert self.confirm(Hubs({ORIGIN: None}), replace(of, metadata_s=0.01), artifact) is None

    def test_a_commit_that_the_origin_does_not_have_stops_it(self, tmp_path):
        of, artifact = self.vouched(tmp_path)
        with pytest.raises(PolicyRefused, match=f"has no commit {REPO.commit}") as caught:
            self.confirm(Hubs({ORIGIN: OTHER}), of, artifact)
        assert "same command again" in caught.value.hint

    def test_a_branch_that_moved_on_contradicts_nobody(self, tmp_path):
        of, artifact = self.vouched(tmp_path)
        moved, heard = replace(OTHER, older=(replace(REPO, branches=()),)), []
        authentic = self.confirm(Hubs({ORIGIN: moved}), of, artifact, notify=heard.append)
        assert (authentic.commit, authentic.files) == (REPO.commit, artifact.files)
        assert authentic.authority.kind is AuthorityKind.ORIGIN
        assert [each.code for each in heard] == ["newer-commit"]
        assert OTHER.commit[:12] in heard[0].message

    def test_a_branch_that_moved_on_does_not_excuse_other_contents(self, tmp_path):
        liar = HubRepo("org/name", {**FILES, "config.json": b"evil"}, commit=REPO.commit)
        of, artifact = self.vouched(tmp_path, liar)
        moved = replace(OTHER, older=(replace(REPO, branches=()),))
        with pytest.raises(PolicyRefused, match="other contents"):
            self.confirm(Hubs({ORIGIN: moved}), of, artifact)

    def test_other_contents_of_the_commit_stop_it(self, tmp_path):
        of, artifact = self.vouched(tmp_path)
        liar = HubRepo("org/name", {**FILES, "config.json": b"evil"}, commit=REPO.commit)
        with pytest.raises(PolicyRefused, match="other contents"):
            self.confirm(Hubs({ORIGIN: liar}), of, artifact)

    def test_a_gate_stops_it(self, tmp_path):
        of, artifact = self.vouched(tmp_path)
        with pytest.raises(AccessDenied):
            self.confirm(Hubs({ORIGIN: TestGate.GATED}), of, artifact)

    def test_a_later_run_says_confirmed_once(self, tmp_path):
        of, _ = self.vouched(tmp_path)
        later = NOW + 3600
        assert codes(ask(Hubs({ORIGIN: REPO}), of, now=later)) == ["confirmed"]
        assert codes(ask(Hubs({ORIGIN: REPO}), of, now=later)) == []

    def test_a_later_run_confirms_a_commit_that_main_has_left(self, tmp_path):
        of, _ = self.vouched(tmp_path, OTHER)
        moved = replace(REPO, older=(replace(OTHER, branches=(), commit=OTHER.commit),))
        assert codes(ask(Hubs({ORIGIN: moved}), of, now=NOW + 3600)) == ["confirmed"]

    def test_a_later_run_says_that_it_differs(self, tmp_path):
        of, _ = self.vouched(tmp_path, OTHER)
        assert codes(ask(Hubs({ORIGIN: REPO}), of, now=NOW + 3600)) == ["differs"]

    @pytest.mark.parametrize("listing", [EXPIRED, refused(403), Answer(body=b"[7]"), None])
    def test_an_origin_that_does_not_say_leaves_the_question_open(self, tmp_path, listing):
        of, _ = self.vouched(tmp_path, OTHER)
        of = replace(of, metadata_s=1.0, origin=replace(of.origin, token="hf_expired"))

        class Reticent(Hubs):
            async def get_metadata(self, url, **more):
                if f"/tree/{OTHER.commit}" not in url:
                    return await super().get_metadata(url, **more)
                return listing or await asyncio.Event().wait()

        assert codes(ask(Reticent({ORIGIN: REPO}), of, now=NOW + 3600)) == []
        assert codes(ask(Hubs({ORIGIN: REPO}), of, now=NOW + 3600)) == ["differs"]

    @pytest.mark.parametrize("content", [refused(503), refused(429)])
    def test_contents_that_are_tired_are_no_objection(self, tmp_path, content):
        of, artifact = self.vouched(tmp_path)
        of = replace(of, origin=replace(of.origin, token="hf_x"))
        assert self.confirm(Hubs({ORIGIN: TestGate.GATED}, content=content), of, artifact) is None
