import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.drift import drift
from chunkdl.errors import UsageError
from chunkdl.identify.lockfile import Lock, LockedArtifact, LockedSelection, decode_lock, encode_lock
from chunkdl.identify.references import parse_reference
from chunkdl.model import Digest, DigestAlgorithm, Hub, Reference, RemoteFile, RepoType

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
names = st.text(st.characters(categories=("L", "N"), include_characters="._- '\"é"), min_size=1, max_size=12)
paths = st.lists(names.map(lambda name: f"x{name}x"), min_size=1, max_size=3).map("/".join)
digests = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda raw: Digest(DigestAlgorithm.SHA256, raw.hex())),
    st.binary(min_size=20, max_size=20).map(lambda raw: Digest(DigestAlgorithm.GIT_SHA1, raw.hex())),
)
files = st.dictionaries(paths, st.builds(RemoteFile, st.just("x"), st.integers(0, 1 << 50), digests), max_size=4).map(
    lambda by_path: tuple(replace(file, path=path) for path, file in sorted(by_path.items()))
)
artifacts = st.builds(
    lambda ref, kind, revision, commit, rest: LockedArtifact(
        ref, Reference(ref, "org/name", kind, revision), "org/name", commit.hex(), *rest
    ),
    texts,
    st.sampled_from(RepoType),
    st.none() | st.from_regex(r"[a-z0-9é][a-z0-9é_-]{0,9}(/[a-z0-9]{1,3})?", fullmatch=True),
    st.binary(min_size=20, max_size=20),
    st.tuples(
        texts,
        st.booleans(),
        st.integers(0, 4_000_000_000).map(float),
        st.builds(
            LockedSelection,
            texts,
            st.none() | texts,
            st.none() | texts,
            st.lists(texts, max_size=2).map(tuple),
            st.lists(texts, max_size=2).map(tuple),
        ),
        files,
        st.integers(0, 10_000),
        st.booleans(),
    ),
)
prefixes = st.binary(min_size=4, max_size=31).map(lambda raw: Digest(DigestAlgorithm.SHA256_PREFIX, raw.hex()))
single = st.builds(
    lambda ref, hub, name, digest, size, at: LockedArtifact(
        ref,
        Reference(ref, "tiny", path=name, hub=hub, url=f"https://host.example/{name}"),
        "tiny",
        "",
        "host.example",
        False,
        at,
        LockedSelection(),
        (RemoteFile(name, size, digest),),
    ),
    texts,
    st.sampled_from((Hub.TORCH, Hub.URL)),
    st.from_regex(r"[a-z]{1,8}\.pth", fullmatch=True),
    prefixes | st.binary(min_size=32, max_size=32).map(lambda raw: Digest(DigestAlgorithm.SHA256, raw.hex())),
    st.integers(0, 1 << 50),
    st.integers(0, 4_000_000_000).map(float),
)
locks = st.lists(artifacts | single, max_size=3).map(lambda each: Lock(tuple(each)))

BERT = LockedArtifact(
    "bert-base-uncased",
    Reference("bert-base-uncased", "bert-base-uncased"),
    "google-bert/bert-base-uncased",
    "86b5e0934494bd15c9632b12f734a8a67f723594",
    "https://huggingface.co",
    True,
    1_790_000_000.0,
    LockedSelection(),
    (RemoteFile("config.json", 570, Digest(DigestAlgorithm.GIT_SHA1, "45a2321a7ecfdaaf60a6c1fd7f5463994cc8907d")),),
    left_out=9,
)


@given(locks)
def test_a_lock_reads_back_and_has_stable_bytes(lock):
    text = encode_lock(lock)
    assert decode_lock(text, "chunkdl.lock") == lock
    assert encode_lock(decode_lock(text, "chunkdl.lock")) == text


@given(locks, st.data())
def test_any_truncation_is_noticed(lock, data):
    text = encode_lock(lock)
    cut = data.draw(st.integers(0, len(text) - 2))  # without its last newline alone it is still whole
    with pytest.raises(UsageError):
        decode_lock(text[:cut], "chunkdl.lock")


@given(locks, st.data())
def test_any_edited_character_is_noticed(lock, data):
    text = encode_lock(lock)
    at = data.draw(st.integers(0, len(text.rstrip()) - 1))
    other = data.draw(st.sampled_from('0a"= #\n').filter(lambda each: each != text[at]))
    with pytest.raises(UsageError):
        decode_lock(text[:at] + other + text[at + 1 :], "chunkdl.lock")


def test_the_form_is_readable():
    assert encode_lock(Lock((BERT,))).splitlines()[1:-2] == [
        "version = 1",
        "",
        "[[artifact]]",
        'ref = "bert-base-uncased"',
        'type = "model"',
        'repo = "bert-base-uncased"',
        'canonical = "google-bert/bert-base-uncased"',
        'commit = "86b5e0934494bd15c9632b12f734a8a67f723594"',
        'authority = "https://huggingface.co"',
        "authenticated = true",
        "public = true",
        "locked_at = 2026-09-21T14:13:20Z",
        "left_out = 9",
        'format = "auto"',
        "files = [",
        '  { path = "config.json", size = 570, digest = "git-sha1:45a2321a7ecfdaaf60a6c1fd7f5463994cc8907d" },',
        "]",
        "",
    ]


TINY = LockedArtifact(
    "torch:tiny",
    Reference(
        "torch:tiny", "tiny", path="tiny-0123abcd.pth", hub=Hub.TORCH, url="https://host.example/tiny-0123abcd.pth"
    ),
    "tiny.V1",
    "",
    "torchvision 0.29.1",
    True,
    1_790_000_000.0,
    LockedSelection(),
    (RemoteFile("tiny-0123abcd.pth", 7, Digest(DigestAlgorithm.SHA256_PREFIX, "0123abcd")),),
)


def test_a_single_file_says_its_address_and_no_commit():
    assert encode_lock(Lock((TINY,))).splitlines()[3:-3] == [
        "[[artifact]]",
        'ref = "torch:tiny"',
        'hub = "torch"',
        'repo = "tiny"',
        'url = "https://host.example/tiny-0123abcd.pth"',
        'canonical = "tiny.V1"',
        'authority = "torchvision 0.29.1"',
        "authenticated = true",
        "public = true",
        "locked_at = 2026-09-21T14:13:20Z",
        "left_out = 0",
        "files = [",
        '  { path = "tiny-0123abcd.pth", size = 7, digest = "sha256-prefix:0123abcd" },',
        "]",
    ]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("torch:tiny", "torch:tiny"),
        ("tiny", None),
        ("torch:other", None),
        ("https://host.example/tiny-0123abcd.pth", None),
        ("https://elsewhere.example/tiny-0123abcd.pth", None),
        ("hf://bert-base-uncased", "bert-base-uncased"),
        ("datasets/bert-base-uncased", None),
        ("hf://org/name@v2", "org/name@v2"),
        ("hf://org/name@v3", "org/name@v1"),  # which then says that it fixes v1
    ],
)
def test_the_same_typed_otherwise_is_found_and_nothing_else(typed, found):
    versions = [
        replace(BERT, ref=f"org/name@{each}", reference=parse_reference(f"org/name@{each}")) for each in ("v1", "v2")
    ]
    entry = Lock((BERT, TINY, *versions)).like(parse_reference(typed))
    assert (entry and entry.ref) == found


def sealed(body):
    return f'{body}\n[seal]\nsha256 = "{hashlib.sha256(body.encode()).hexdigest()}"\n'


def test_a_newer_version_says_so():
    with pytest.raises(UsageError, match="version 2, from a newer chunkdl"):
        decode_lock(sealed("version = 2\n"), "chunkdl.lock")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('path = "config.json"', 'path = "../config.json"'),
        ("size = 570", "size = -1"),
        ("git-sha1:45a2", "git-sha1:zzzz"),
        ('commit = "86b5', 'commit = "main'),
        ('type = "model"', 'type = "thing"'),
        ('canonical = "google-bert/bert-base-uncased"\n', ""),
    ],
)
def test_a_sealed_lock_with_impossible_contents_is_refused(old, new):
    body = encode_lock(Lock((BERT,))).rpartition("\n[seal]")[0]
    assert old in body
    with pytest.raises(UsageError, match="holds what cannot be"):
        decode_lock(sealed(body.replace(old, new)), "chunkdl.lock")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('url = "https://host.example/tiny', 'url = "http://host.example/tiny'),
        ('url = "https://host.example/tiny-0123abcd.pth"\n', ""),
        ('hub = "torch"', 'hub = "else"'),
        ('hub = "torch"\n', ""),
        ('path = "tiny-0123abcd.pth"', 'path = "nested/tiny-0123abcd.pth"'),
        ('path = "tiny-0123abcd.pth"', 'path = "../tiny-0123abcd.pth"'),
        ("sha256-prefix:0123abcd", f"unproven:{'a' * 64}"),
    ],
)
def test_a_sealed_lock_with_an_impossible_file_is_refused(old, new):
    body = encode_lock(Lock((TINY,))).rpartition("\n[seal]")[0]
    assert old in body
    with pytest.raises(UsageError, match="holds what cannot be"):
        decode_lock(sealed(body.replace(old, new)), "chunkdl.lock")


@pytest.mark.parametrize("digest", ["sha256-prefix:45a2321a", f"unproven:{'a' * 64}"])
def test_a_repository_is_not_locked_by_less_than_whole_digests(digest):
    body = encode_lock(Lock((BERT,))).rpartition("\n[seal]")[0]
    with pytest.raises(UsageError, match="does not fix"):
        decode_lock(sealed(body.replace("git-sha1:45a2321a7ecfdaaf60a6c1fd7f5463994cc8907d", digest)), "chunkdl.lock")


def sized(size, text):
    return [RemoteFile("x.pth", size, Digest.parse(text))]


@pytest.mark.parametrize(
    ("before", "after", "drifts"),
    [
        (sized(5, "sha256-prefix:0123abcd"), sized(5, f"sha256:0123abcd{'0' * 56}"), False),
        (sized(5, f"sha256:0123abcd{'0' * 56}"), sized(5, "sha256-prefix:0123abcd"), False),
        (sized(5, f"sha256:0123abcd{'0' * 56}"), sized(6, "sha256-prefix:0123abcd"), True),
        (sized(5, f"sha256:1123abcd{'0' * 56}"), sized(5, "sha256-prefix:0123abcd"), True),
        (sized(5, f"git-sha1:0123abcd{'0' * 32}"), sized(5, "sha256-prefix:0123abcd"), True),
    ],
)
def test_digits_that_agree_are_no_drift_if_the_lengths_do(before, after, drifts):
    assert bool(drift(before, after)) is drifts


@given(files, files)
def test_drift_names_every_difference(before, after):
    found = drift(before, after)
    assert bool(found) == ({each.path: each.digest for each in before} != {each.path: each.digest for each in after})
    assert len(found.lines()) == len(found.changed) + len(found.added) + len(found.removed)
    assert not drift(before, before)


@pytest.mark.parametrize(
    "changed",
    [
        {"reference": replace(BERT.reference, repo_id="../../etc")},
        {"reference": replace(BERT.reference, revision="../main")},
        {"reference": replace(BERT.reference, path="../x")},
        {"canonical_id": "a/b/c"},
        {"canonical_id": "a?token=x"},
        {"left_out": -1},
        {"left_out": True},
    ],
)
def test_a_sealed_lock_may_mean_harm_all_the_same(changed):
    with pytest.raises(UsageError, match="holds what cannot be"):
        decode_lock(encode_lock(Lock((replace(BERT, **changed),))), "chunkdl.lock")
