import pytest

from chunkdl.identify.references import parse_reference
from chunkdl.identify.sources import MirrorCoverage, source_of, source_url
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, Mirror, MirrorKind, RemoteFile

COMMIT = "c" * 40
MIRROR = Mirror("https://m.example/hf", "m")
DIGEST = Digest.parse("sha256:" + "a" * 64)


def artifact(text="org/name", canonical="org/name"):
    return Artifact(parse_reference(text), canonical, COMMIT, (), Authority(AuthorityKind.ORIGIN, "o", True))


def file(path):
    return RemoteFile(path, 1, DIGEST)


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("a/b.bin", "a/b.bin"),
        ("a b#c%d+e?f", "a%20b%23c%25d%2Be%3Ff"),
        ("模型.bin", "%E6%A8%A1%E5%9E%8B.bin"),
        ("x~y&z=1", "x~y%26z%3D1"),
    ],
)
def test_each_component_is_encoded_once(path, encoded):
    assert source_url(MIRROR, artifact(), file(path)) == f"https://m.example/hf/org/name/resolve/{COMMIT}/{encoded}"


def test_the_canonical_id_is_asked_and_other_types_have_their_prefix():
    legacy = artifact("bert-base-uncased", "google-bert/bert-base-uncased")
    assert "/google-bert/bert-base-uncased/resolve/" in source_url(MIRROR, legacy, file("a"))
    assert "/hf/datasets/org/name/resolve/" in source_url(MIRROR, artifact("datasets/org/name"), file("a"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://s.example/x", "https://s.example/x/org/name/d/a%20b"),
        ("https://s.example/{repo}", "https://s.example/org/name/d/a%20b"),
        ("https://s.example/{revision}/{repo}/{path}", f"https://s.example/{COMMIT}/org/name/d/a%20b"),
    ],
)
def test_static_mirrors_are_templates(url, expected):
    assert source_url(Mirror(url, "s", MirrorKind.STATIC), artifact(), file("d/a b")) == expected


class TestCoverage:
    def test_of_the_commit_serves_all_but_what_differs(self):
        coverage = MirrorCoverage(MIRROR, has_commit=True, refused=frozenset({"bad"}))
        assert source_of(coverage, artifact(), file("good")).mirror is MIRROR
        assert source_of(coverage, artifact(), file("bad")) is None
        assert coverage.useful

    def test_of_another_commit_serves_what_it_proved_from_where_it_lies_there(self):
        coverage = MirrorCoverage(MIRROR, has_commit=False, elsewhere={"new": ("d" * 40, "old name")})
        assert source_of(coverage, artifact(), file("new")).url.endswith(f"/resolve/{'d' * 40}/old%20name")
        assert source_of(coverage, artifact(), file("other")) is None
        assert coverage.useful

    def test_of_nothing_serves_nothing(self):
        coverage = MirrorCoverage(MIRROR, has_commit=False, lag="no answer")
        assert source_of(coverage, artifact(), file("a")) is None
        assert not coverage.useful
