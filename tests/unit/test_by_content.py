import pytest

from chunkdl.identify.answers import RepoInfo
from chunkdl.identify.attestation import Attestation
from chunkdl.identify.by_content import compare_contents, coverage_of
from chunkdl.identify.catalogue import Catalogue
from chunkdl.identify.hearing import behind_gate
from chunkdl.identify.modelscope import Route, file_url
from chunkdl.identify.modelscope_answers import EMPTY_SHA256, Listed
from chunkdl.identify.modelscope_names import MAX_NAMES, names_there
from chunkdl.identify.references import parse_reference
from chunkdl.identify.sources import source_of
from chunkdl.identify.vouching import Candidate, elect
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, Mirror, MirrorKind, RemoteFile, RepoType

SCOPE = Mirror("https://modelscope.cn", "modelscope.cn", MirrorKind.MODELSCOPE)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def lfs(path, sha, size=10):
    return RemoteFile(path, size, Digest.parse(f"sha256:{sha}"))


def plain(path, size=3):
    return RemoteFile(path, size, Digest.parse("git-sha1:" + "d" * 40))


def artifact(*files):
    authority = Authority(AuthorityKind.ORIGIN, "https://huggingface.co", authenticated=True)
    return Artifact(parse_reference("org/name"), "org/name", "0" * 40, files, authority)


def catalogue(*files, repo_id="AI-ModelScope/name", revision="master", repo_type=RepoType.MODEL):
    return Catalogue(SCOPE, repo_type, repo_id, revision, files)


class TestComparison:
    def test_is_by_digest_and_size_and_never_by_name(self):
        ours = artifact(lfs("one", A), lfs("two", B), lfs("three", C), lfs("four", A, 11), plain("config.json"))
        found = compare_contents(
            ours, catalogue(Listed("x/renamed", 10, A), Listed("two", 10, C), Listed("four", 11, B))
        )
        assert {path: there.path for path, there in found.identical.items()} == {"one": "x/renamed", "three": "two"}
        assert (found.different, found.absent, found.untold, found.total) == (2, 0, 1, 4)
        assert found.identical_bytes == 20

    def test_a_right_digest_with_another_size_is_another_file(self):
        found = compare_contents(artifact(lfs("one", A, 10)), catalogue(Listed("one", 9, A), Listed("zero", 0, A)))
        assert (found.identical, found.different) == ({}, 1)

    def test_a_listing_without_digests_proves_nothing(self):
        found = compare_contents(artifact(lfs("one", A)), catalogue(Listed("one", 10, "")))
        assert (len(found.identical), found.different, found.absent) == (0, 1, 0)

    def test_empty_files_and_gits_own_are_not_compared(self):
        ours = artifact(lfs("empty", EMPTY_SHA256, 0), plain("nothing", 0), plain("a.py"))
        found = compare_contents(ours, catalogue())
        assert (found.total, found.untold) == (0, 1)

    def test_is_said_in_one_line(self):
        listed = Listed("one", 10, A, committed_at=1_700_000_000.0)
        found = compare_contents(artifact(lfs("one", A), lfs("two", B), plain("p")), catalogue(listed))
        assert found.in_words() == (
            "has AI-ModelScope/name@master of 2023-11-14: "
            "1 of 2 files identical by sha256, 0 different, 1 absent; 1 not comparable"
        )


class TestCoverage:
    def test_asks_for_what_was_proved_and_for_nothing_else(self):
        ours = artifact(lfs("one", A), lfs("two", B), plain("config.json"))
        coverage = coverage_of(compare_contents(ours, catalogue(Listed("a b/ö", 10, A))), Route.WEB)
        assert coverage.useful
        urls = [source_of(coverage, ours, each) for each in ours.files]
        assert urls[0].url == "https://modelscope.cn/models/AI-ModelScope/name/resolve/master/a%20b/%C3%B6"
        assert urls[1:] == [None, None]
        assert coverage.notice is None

    def test_a_copy_that_differs_is_said(self):
        ours = artifact(lfs("one", A), lfs("two", B))
        coverage = coverage_of(compare_contents(ours, catalogue(Listed("one", 10, A), Listed("two", 10, C))), Route.API)
        assert coverage.notice.code == "copy-differs"
        assert coverage.urls == {
            "one": "https://modelscope.cn/api/v1/models/AI-ModelScope/name/repo?Revision=master&FilePath=one"
        }

    def test_one_without_anything_is_useless(self):
        coverage = coverage_of(compare_contents(artifact(lfs("one", A)), catalogue()), Route.WEB)
        assert not coverage.useful
        assert source_of(coverage, artifact(lfs("one", A)), lfs("one", A)) is None


@pytest.mark.parametrize(
    ("route", "url"),
    [
        (Route.WEB, "https://modelscope.cn/datasets/o/n/resolve/refs%2Fx/a%2526/b"),
        (Route.API, "https://modelscope.cn/api/v1/datasets/o/n/repo?Revision=refs%2Fx&FilePath=a%2526%2Fb"),
    ],
)
def test_urls_are_encoded_once(route, url):
    there = catalogue(repo_id="o/n", revision="refs/x", repo_type=RepoType.DATASET)
    assert file_url(there, "a%26/b", route) == url


class TestCommit:
    NEW, OLD = ("1" * 40, "2" * 40)

    def test_is_the_last_that_touched_a_file(self):
        listed = (Listed("a", 1, A, self.OLD, 1.0), Listed("b", 1, B, self.NEW, 2.0), Listed("c", 1, C))
        assert catalogue(*listed).commit == self.NEW

    def test_is_the_one_that_was_asked_for(self):
        assert catalogue(Listed("a", 1, A, self.OLD), revision=self.NEW).commit == self.NEW

    def test_is_else_made_of_the_contents(self):
        one, same = catalogue(Listed("a", 1, A), Listed("b", 1, B)), catalogue(Listed("b", 1, B), Listed("a", 1, A))
        assert one.commit == same.commit != catalogue(Listed("a", 1, B)).commit
        assert len(one.commit) == 40


class TestNames:
    @pytest.mark.parametrize(
        ("repo_id", "first", "among"),
        [
            ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "AI-ModelScope/Qwen3-8B"),
            ("google-bert/bert-base-uncased", "google-bert/bert-base-uncased", "AI-ModelScope/bert-base-uncased"),
            ("gpt2", "AI-ModelScope/gpt2", "AI-ModelScope/gpt2"),
            ("THUDM/glm-4-9b", "THUDM/glm-4-9b", "ZhipuAI/glm-4-9b"),
            ("SWivid/F5-TTS", "SWivid/F5-TTS_Emilia-ZH-EN", "SWivid/F5-TTS"),
            ("FunAudioLLM/SenseVoiceSmall", "iic/SenseVoiceSmall", "FunAudioLLM/SenseVoiceSmall"),
        ],
    )
    def test_are_likeliest_first(self, repo_id, first, among):
        found = names_there(repo_id)
        assert found[0] == first
        assert among in found
        assert len(found) == len(set(found)) <= MAX_NAMES
        assert all(each.count("/") == 1 for each in found)


class TestAttestation:
    def test_supports_what_it_lists_whole(self):
        told = Attestation(SCOPE, frozenset({(A, 10), (B, 10)}))
        assert told.supports([lfs("x", A), plain("y")])
        assert not told.supports([lfs("x", A), lfs("z", C)])
        assert not told.supports([lfs("x", A, 11)])
        assert not told.supports([plain("y")])

    def test_is_one_more_voice_and_decides_between_two(self):
        def story(name, sha, modified):
            info = RepoInfo("org/name", name * 40, modified)
            return Candidate(Mirror(f"https://{name}.example", name), info, (lfs("w", sha),))

        old, new = story("a", A, "2024"), story("b", B, "2025")
        assert elect([old, new], tuple).winner is new
        told = Attestation(SCOPE, frozenset({(A, 10)}))
        election = elect([old, new], tuple, [told])
        assert (election.winner, election.voices, election.attested) == (old, 2, (told,))

    def test_two_servers_of_one_operator_are_one_voice(self):
        twice = [Attestation(each, frozenset({(A, 10)})) for each in (SCOPE, Mirror("https://www.modelscope.ai", "ai"))]
        info = RepoInfo("org/name", "a" * 40)
        told = [Candidate(Mirror("https://x.example", "x"), info, (lfs("w", A),))]
        assert elect(told, tuple, twice).voices == 2


def test_another_hubs_token_opens_no_gate_of_this_one():
    lab = Mirror("https://lab.example", "lab", token="t")
    scope = Mirror("https://modelscope.cn", "m", MirrorKind.MODELSCOPE, token="t")
    assert behind_gate([lab, scope, Mirror("https://x.example", "x")]) == (lab,)
