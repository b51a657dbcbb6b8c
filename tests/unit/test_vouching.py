from chunkdl.identify.answers import RepoInfo
from chunkdl.identify.references import parse_reference
from chunkdl.identify.vouching import Candidate, compare, elect
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, Mirror, RemoteFile


def file(path, letter="a", size=1):
    return RemoteFile(path, size, Digest.parse("sha256:" + letter * 64))


def story(name, commit="a", files=None, modified="2024-01-01", answered_by=""):
    info = RepoInfo("org/name", commit * 40, modified, answered_by=answered_by)
    return Candidate(Mirror(f"https://{name}.example", name), info, tuple(files or [file("m.bin")]))


def everything(files):
    return files


def names(candidates):
    return [each.mirror.name for each in candidates]


class TestElection:
    def test_most_independent_voices_win(self):
        election = elect([story("x", "b", modified="2026"), story("y"), story("z")], everything)
        assert names(election.vouchers) == ["y", "z"]
        assert election.voices == 2
        assert names(election.others) == ["x"]

    def test_two_addresses_of_one_operator_are_one_voice(self):
        twice = [
            story("hf-mirror", "b", answered_by=url) for url in ("https://hf-mirror.com/", "https://www.hf-mirror.com/")
        ]
        election = elect([*twice, story("y"), story("z")], everything)
        assert names(election.vouchers) == ["y", "z"]

    def test_mirrors_that_redirect_to_one_host_are_one_voice(self):
        same = [story(name, "b", answered_by="https://cdn.example/x") for name in ("p", "q")]
        assert elect(same, everything).voices == 1

    def test_ties_go_to_the_latest(self):
        election = elect([story("x", modified="2024-05"), story("y", "b", modified="2025-01")], everything)
        assert names(election.vouchers) == ["y"]

    def test_complete_ties_go_to_the_first(self):
        assert names(elect([story("x"), story("y", "b")], everything).vouchers) == ["x"]

    def test_the_same_commit_with_another_digest_is_another_story(self):
        election = elect([story("x", files=[file("m.bin", "f")]), story("y"), story("z")], everything)
        assert names(election.vouchers) == ["y", "z"]

    def test_only_selected_files_must_agree(self):
        def weights(files):
            return tuple(each for each in files if each.path == "m.bin")

        stories = [story("x", files=[file("m.bin"), file("README", "b")]), story("y", files=[file("m.bin")])]
        assert elect(stories, weights).voices == 2
        assert elect(stories, everything).voices == 1


class TestComparison:
    def artifact(self, *files):
        authority = Authority(AuthorityKind.ORIGIN, "o", authenticated=True)
        return Artifact(parse_reference("org/name"), "org/name", "a" * 40, files, authority)

    def test_the_same_commit_and_contents(self):
        coverage = compare(story("x"), self.artifact(file("m.bin")))
        assert (coverage.has_commit, coverage.lag, coverage.refused) == (True, None, frozenset())

    def test_the_same_commit_with_differences_is_reported_and_not_asked_for_them(self):
        told = story("x", files=[file("a"), file("b", "f"), file("c", size=2)])
        coverage = compare(told, self.artifact(file("a"), file("b"), file("c"), file("d")))
        assert coverage.refused == {"b", "c", "d"}
        assert "3 files" in coverage.lag

    def test_another_commit_serves_equal_contents_under_any_name(self):
        told = story("x", "b", files=[file("old.bin", "a"), file("same", "b"), file("changed", "f")])
        coverage = compare(told, self.artifact(file("new.bin", "a"), file("same", "b"), file("changed", "c")))
        assert not coverage.has_commit
        assert coverage.elsewhere == {"new.bin": ("b" * 40, "old.bin"), "same": ("b" * 40, "same")}
        assert coverage.lag == "has commit bbbbbbbbbbbb of 2024-01-01"
