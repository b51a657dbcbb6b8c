import asyncio

import pytest
from hub_stage import FILES, ORIGIN, REPO, Answer, Hubs, refused

from chunkdl.errors import AccessDenied, ArtifactNotFound, HTTPStatus, MirrorMisbehaved, PlacementRefused
from chunkdl.identify import huggingface
from chunkdl.identify.huggingface import HubApi
from chunkdl.identify.references import parse_reference
from chunkdl.model import Mirror
from chunkdl.testing import HubRepo

REFERENCE = parse_reference("org/name")


def hub(hubs, token=None):
    return HubApi(hubs, Mirror(ORIGIN, "origin", is_origin=True, token=token), answer_s=8.0)


def resolve(answer, reference=REFERENCE, token=None):
    return asyncio.run(hub(Hubs({ORIGIN: answer}), token).resolve(reference))


def listing(hubs, commit=REPO.commit):
    return asyncio.run(hub(hubs).listing(REFERENCE, "org/name", commit))


class TestResolve:
    def test_gives_the_commit(self):
        assert resolve(REPO).commit == REPO.commit

    def test_quotes_revisions_and_parts_of_ids(self):
        hubs = Hubs({ORIGIN: REPO})
        with pytest.raises(ArtifactNotFound, match="refs/pr/1"):
            asyncio.run(hub(hubs).resolve(parse_reference("datasets/org/name@refs/pr/1")))
        assert hubs.asked == [("origin", "/api/datasets/org/name/revision/refs%2Fpr%2F1")]

    def test_a_pin_is_answered_with_itself_or_refused(self):
        other = HubRepo("org/name", FILES, commit="c" * 40, tags=(REPO.commit,))
        pinned = parse_reference(f"org/name@{REPO.commit}")
        assert resolve(REPO, pinned).commit == REPO.commit
        with pytest.raises(MirrorMisbehaved, match="another commit"):
            resolve(other, pinned)

    @pytest.mark.parametrize(
        ("answer", "kind", "says"),
        [
            (refused(404, "RevisionNotFound"), ArtifactNotFound, "no revision 'main'"),
            (refused(404, "RepoNotFound"), ArtifactNotFound, "knows no model org/name"),
            (refused(401, "RepoNotFound"), ArtifactNotFound, "knows no model org/name"),
            (refused(404), ArtifactNotFound, "knows no model"),
            (refused(401), ArtifactNotFound, "knows no model"),
            (
                refused(401, "", "Invalid credentials in Authorization header"),
                AccessDenied,
                "does not accept the token",
            ),
            (refused(401, "GatedRepo"), AccessDenied, "gated"),
            (refused(403, "GatedRepo"), AccessDenied, "gated"),
            (refused(403, "", "Access to this resource is disabled."), AccessDenied, "disabled"),
            (refused(403, "", "no permission"), AccessDenied, "no permission"),
            (refused(451), AccessDenied, "disabled"),
            (refused(403), HTTPStatus, "403"),
            (refused(429), HTTPStatus, "429"),
            (refused(500), HTTPStatus, "500"),
            (refused(302), HTTPStatus, "302"),
        ],
    )
    def test_bad_statuses_are_final_or_not(self, answer, kind, says):
        with pytest.raises(kind, match=says) as caught:
            resolve(answer)
        assert caught.value.mirror == "origin"
        assert caught.value.exit_code == (4 if kind is HTTPStatus else 3)
        assert "\n" not in caught.value.message

    def test_a_disabled_repository_is_not_served(self):
        body = b'{"sha": "%s", "disabled": true}' % REPO.commit.encode()
        with pytest.raises(AccessDenied, match="disabled"):
            resolve(Answer(body=body))

    def test_a_token_never_shows_in_an_error(self):
        with pytest.raises(AccessDenied) as caught:
            resolve(refused(401, "GatedRepo"), token="hf_secret")
        assert "hf_secret" not in caught.value.message + caught.value.hint


class TestListing:
    def test_describes_every_file(self):
        files = {each.path: each for each in listing(Hubs({ORIGIN: REPO}))}
        assert set(files) == set(FILES)
        assert files["model.safetensors"].digest.algorithm == "sha256"
        assert files["config.json"].digest.algorithm == "git-sha1"
        assert [each.size for each in files.values()] == [len(FILES[path]) for path in files]

    def test_follows_pages_on_the_hub_that_was_asked(self):
        hubs = Hubs({ORIGIN: REPO}, pages=1)
        assert len(listing(hubs)) == 3
        assert hubs.names() == {"origin"}
        assert [target.partition("?")[2] for _, target in hubs.asked] == [
            "recursive=true&expand=false",
            "cursor=1",
            "cursor=2",
        ]

    def test_a_cycle_of_pages_ends(self):
        answer = Answer(body=b"[]")
        answer.headers["Link"] = '<https://x.example/?cursor=1>; rel="next"'
        hubs = Hubs({ORIGIN: answer})
        with pytest.raises(MirrorMisbehaved, match="without an end"):
            listing(hubs)
        assert len(hubs.asked) == 2

    def test_too_many_pages_end(self, monkeypatch):
        monkeypatch.setattr(huggingface, "MAX_PAGES", 2)
        with pytest.raises(MirrorMisbehaved, match="without an end"):
            listing(Hubs({ORIGIN: REPO}, pages=1))

    def test_all_pages_together_are_bounded(self):
        hubs = Hubs({ORIGIN: REPO}, pages=1)
        listing(hubs)
        whole_bytes = huggingface.MAX_LISTING_BYTES
        assert hubs.limits[0] == whole_bytes
        assert hubs.limits == sorted(hubs.limits, reverse=True)
        assert hubs.limits[-1] < whole_bytes - 100

    @pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "C:/x", "a\x00b"])
    def test_a_hostile_path_refuses_the_artifact(self, path):
        repo = HubRepo("org/name", {**FILES, path: b"x"})
        with pytest.raises(PlacementRefused):
            listing(Hubs({ORIGIN: repo}), repo.commit)

    def test_a_path_that_stands_twice_refuses_it_too(self):
        entry = '{"type":"file","path":"a","size":1,"oid":"%s"}' % ("b" * 40)
        with pytest.raises(PlacementRefused, match="twice"):
            listing(Hubs({ORIGIN: Answer(body=f"[{entry},{entry}]".encode())}))


class TestAccess:
    def check(self, hubs):
        async def run():
            api = hub(hubs, "hf_x")
            info = await api.resolve(REFERENCE)
            await api.check_access(REFERENCE, info, await api.listing(REFERENCE, "org/name", REPO.commit))

        return asyncio.run(run())

    def test_is_asked_with_the_smallest_plain_file(self):
        hubs = Hubs({ORIGIN: REPO})
        self.check(hubs)
        assert hubs.asked[-1] == ("origin", f"/org/name/resolve/{REPO.commit}/config.json")

    def test_denied(self):
        with pytest.raises(AccessDenied, match="gated"):
            self.check(Hubs({ORIGIN: REPO}, content=refused(403, "GatedRepo")))

    def test_unknown_without_a_plain_file(self):
        hubs = Hubs({ORIGIN: HubRepo("org/name", {"a.safetensors": b"x"}, commit=REPO.commit)})
        self.check(hubs)
        assert not any("/resolve/" in url for _, url in hubs.asked)
