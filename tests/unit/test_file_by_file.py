import asyncio
from dataclasses import dataclass, field

import pytest
from hub_stage import ORIGIN, Answer, refused
from multidict import CIMultiDict

from chunkdl.core.content_headers import EMPTY
from chunkdl.errors import AccessDenied, ArtifactNotFound, ConnectFailed, HTTPStatus, MirrorMisbehaved, PolicyRefused
from chunkdl.identify import file_by_file
from chunkdl.identify.answers import git_blob_sha1, pointer_text
from chunkdl.identify.file_by_file import FileByFile
from chunkdl.identify.references import parse_reference
from chunkdl.model import Mirror

COMMIT, SHA256, GIT = "c" * 40, "a" * 64, "b" * 40
FOLDER = f"{ORIGIN}/org/name/resolve/{COMMIT}"
CDN = "https://cdn.example/signed"


def answer(status=200, url="", **headers):
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return Answer(status, CIMultiDict(named), url=url)


@dataclass
class Contents:
    """Answers requests for headers: (method, follow) → an Answer or an exception; anything unforeseen fails."""

    answers: dict
    asked: list = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def ask_headers(self, url, *, mirror, timeout_s, connect_s, method, follow):
        assert (mirror.url, timeout_s, connect_s) == (ORIGIN, 15.0, 3.0)
        self.asked.append((method, follow, url.removeprefix(FOLDER + "/")))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(5):
            await asyncio.sleep(0)
        self.at_once -= 1
        said = self.answers[method, follow]
        said = said(url) if callable(said) else said
        if isinstance(said, Exception):
            raise said
        return Answer(said.status, said.headers, url=said.url or url)

    def steps(self):
        return [(method, follow) for method, follow, _ in self.asked]


def describe(contents, *paths, on_file=lambda: None):
    origin = Mirror(ORIGIN, "origin", is_origin=True)
    asking = FileByFile(contents, origin, parse_reference("org/name"), FOLDER, COMMIT, 8.0, 3.0, on_file)
    return asyncio.run(asking.describe(paths or ("a b.bin",)))


def one(answers):
    contents = Contents(answers)
    [file] = describe(contents).values()
    return file, contents.steps()


HEAD, HEAD_ON, GET, GET_ON = ("HEAD", False), ("HEAD", True), ("GET", False), ("GET", True)
FIRST_BYTE = answer(206, Content_Range="bytes 0-0/9", Content_Length=1, ETag=f'"{SHA256}"')


class TestOneFile:
    def test_a_plain_answer_to_head_suffices(self):
        file, steps = one({HEAD: answer(ETag=f'"{GIT}"', Content_Length=9)})
        assert (file.path, file.size, str(file.digest), file.pointer_oid) == ("a b.bin", 9, f"git-sha1:{GIT}", None)
        assert steps == [HEAD]

    def test_a_redirect_that_says_all_is_not_followed(self):
        said = answer(302, Location=CDN, X_Linked_Etag=f'"{SHA256}"', X_Linked_Size=9, Content_Length=100)
        file, steps = one({HEAD: said})
        assert (file.size, file.digest.hex) == (9, SHA256)
        assert file.pointer_oid == git_blob_sha1(pointer_text(file.digest, 9))
        assert steps == [HEAD]

    def test_a_redirect_within_the_hub_is_followed_to_where_the_etag_is(self):
        file, steps = one(
            {
                HEAD: answer(307, Location="/api/resolve-cache/x", Content_Length=100),
                HEAD_ON: answer(url=f"{ORIGIN}/api/resolve-cache/x", ETag=GIT, Content_Length=9),
            }
        )
        assert (file.size, file.digest.hex) == (9, GIT)
        assert steps == [HEAD, HEAD_ON]

    def test_a_data_host_tells_the_size_but_no_digest(self):
        elsewhere = answer(url=CDN, ETag=f'"{"e" * 64}"', Content_Length=9, X_Repo_Commit="d" * 40)
        file, _ = one({HEAD: answer(302, Location=CDN, ETag=f'"{SHA256}"'), HEAD_ON: elsewhere})
        assert (file.size, file.digest.hex) == (9, SHA256)
        with pytest.raises(PolicyRefused, match="unverifiable"):
            one(dict.fromkeys((HEAD, GET), answer(302, Location=CDN)) | dict.fromkeys((HEAD_ON, GET_ON), elsewhere))

    def test_a_data_host_that_forbids_head_is_asked_for_a_byte(self):
        moved = answer(302, Location=CDN, X_Linked_Etag=SHA256)
        file, steps = one({HEAD: moved, HEAD_ON: answer(403, url=CDN), GET: moved, GET_ON: FIRST_BYTE})
        assert file.size == 9
        assert steps == [HEAD, HEAD_ON, GET, GET_ON]

    @pytest.mark.parametrize("status", [403, 405, 500, 501])
    def test_where_head_is_refused_the_first_byte_tells(self, status):
        file, steps = one({HEAD: refused(status), GET: FIRST_BYTE})
        assert (file.size, file.digest.hex) == (9, SHA256)
        assert steps == [HEAD, GET]

    def test_where_head_breaks_the_connection_too(self):
        file, _ = one({HEAD: ConnectFailed("closed"), GET: FIRST_BYTE})
        assert file.size == 9
        with pytest.raises(ConnectFailed):
            one({HEAD: ConnectFailed("closed"), GET: ConnectFailed("closed")})

    @pytest.mark.parametrize(
        "lie",
        [
            {},
            {"Content_Length": 0},
            {"X_Linked_Size": 0},
            {"Content_Length": 5, "Content_Encoding": "gzip"},
            {"Content_Length": 5, "Transfer_Encoding": "chunked"},
        ],
    )
    def test_where_head_tells_no_size_or_a_false_nought(self, lie):
        file, steps = one({HEAD: answer(ETag=SHA256, **lie), GET: FIRST_BYTE})
        assert file.size == 9
        assert steps == [HEAD, GET]

    def test_a_server_without_ranges_tells_its_content_length(self):
        file, _ = one({HEAD: refused(405), GET: answer(ETag=SHA256, Content_Length=9)})
        assert file.size == 9

    def test_an_empty_file_needs_no_digest_but_a_second_word(self):
        beyond = answer(416, Content_Range="bytes */0")
        file, steps = one({HEAD: answer(Content_Length=0), GET: beyond})
        assert (file.size, file.digest) == (0, EMPTY)
        assert steps == [HEAD, GET]
        with pytest.raises(PolicyRefused):
            one({HEAD: answer(Content_Length=0), GET: answer(206)})


class TestRefusals:
    @pytest.mark.parametrize(
        "etag", [f'W/"{SHA256}"', f'"{"0" * 32}-10"', f'"{"0" * 32}"', '"66f0-abc"', ""], ids=lambda each: each[:12]
    )
    def test_without_a_digest_the_listing_is_unusable(self, etag):
        said = answer(ETag=etag, Content_Length=9)
        with pytest.raises(PolicyRefused, match=r"names no digest of 'a b\.bin'") as caught:
            one({HEAD: said, GET: said})
        assert caught.value.exit_code == 7
        assert (caught.value.file, caught.value.mirror) == ("a b.bin", "origin")
        assert "X-Linked-Etag" in caught.value.hint
        assert "\n" not in caught.value.message + caught.value.hint

    def test_without_a_size_too(self):
        with pytest.raises(MirrorMisbehaved, match=r"how long 'a b\.bin' is"):
            one({HEAD: answer(ETag=SHA256), GET: answer(206, ETag=SHA256)})

    def test_an_etag_of_the_empty_content_contradicts_any_length(self):
        with pytest.raises(MirrorMisbehaved, match="how long"):
            one(dict.fromkeys((HEAD, GET), answer(ETag=EMPTY.hex, Content_Length=9)))

    def test_another_commit_is_refused_and_the_same_is_not(self):
        good = {"ETag": SHA256, "Content_Length": 9}
        assert one({HEAD: answer(X_Repo_Commit=COMMIT, **good)})[0].size == 9
        with pytest.raises(MirrorMisbehaved, match="another commit"):
            one({HEAD: answer(X_Repo_Commit="d" * 40, **good)})

    @pytest.mark.parametrize(
        ("said", "kind", "says"),
        [
            (refused(404), MirrorMisbehaved, "lists 'a b.bin' but does not serve it"),
            (refused(404, "EntryNotFound"), MirrorMisbehaved, "lists 'a b.bin' but does not serve it"),
            (refused(404, "RevisionNotFound"), ArtifactNotFound, "no revision"),
            (refused(403, "GatedRepo"), AccessDenied, "gated"),
            (refused(401, "GatedRepo"), AccessDenied, "gated"),
            (refused(429), HTTPStatus, "429"),
        ],
    )
    def test_what_the_hub_means_is_said_at_once(self, said, kind, says):
        contents = Contents({HEAD: said})
        with pytest.raises(kind, match=says):
            describe(contents)
        assert contents.steps() == [HEAD]

    def test_a_wall_before_both_methods(self):
        with pytest.raises(HTTPStatus, match="403"):
            one({HEAD: refused(403), GET: refused(403)})


class TestManyFiles:
    PATHS = tuple(f"folder #{at}/f.bin" for at in range(40))

    def test_are_asked_eight_at_a_time_each_once(self):
        counted = []
        contents = Contents({HEAD: answer(ETag=SHA256, Content_Length=9)})
        found = describe(contents, *self.PATHS, on_file=lambda: counted.append(1))
        assert set(found) == set(self.PATHS)
        assert sorted(contents.asked) == sorted(("HEAD", False, p.replace(" #", "%20%23")) for p in self.PATHS)
        assert contents.most_at_once == 8
        assert len(counted) == 40

    def test_head_is_refused_once(self):
        contents = Contents({HEAD: refused(405), GET: FIRST_BYTE})
        assert len(describe(contents, *self.PATHS)) == 40
        assert contents.steps() == [HEAD, *[GET] * 40]

    def test_a_hub_without_digests_is_found_out_by_its_first_file(self):
        contents = Contents(dict.fromkeys((HEAD, GET), answer(Content_Length=9)))
        with pytest.raises(PolicyRefused, match="folder #0"):
            describe(contents, *self.PATHS)
        assert len(contents.asked) == 2

    def test_one_bad_file_among_many_ends_it_with_its_own_error(self):
        def said(url):
            return answer(Content_Length=9, **({} if "%2312/" in url else {"ETag": SHA256}))

        contents = Contents({HEAD: said, GET: said})
        with pytest.raises(PolicyRefused, match=r"'folder #12/f\.bin'") as caught:
            describe(contents, *self.PATHS)
        assert len(contents.asked) < 40
        assert caught.value.__cause__ is None

    def test_no_files_no_requests(self):
        async def none():
            origin = Mirror(ORIGIN, "origin", is_origin=True)
            contents = Contents({})
            asking = FileByFile(contents, origin, parse_reference("org/name"), FOLDER, COMMIT, 8.0, 3.0, lambda: None)
            return await asking.describe([]), contents.asked

        assert asyncio.run(none()) == ({}, [])

    def test_too_many_are_not_even_begun(self, monkeypatch):
        monkeypatch.setattr(file_by_file, "MAX_ASKED_FILES", 39)
        contents = Contents({})
        with pytest.raises(PolicyRefused, match="40 files one by one"):
            describe(contents, *self.PATHS)
        assert contents.asked == []

    def test_all_together_have_a_limit(self, monkeypatch):
        monkeypatch.setattr(file_by_file, "_WHOLE_S", 0.0)
        with pytest.raises(file_by_file.Stalled, match="0 of 40 files"):
            describe(Contents({HEAD: answer(ETag=SHA256, Content_Length=9)}), *self.PATHS)
