import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.drift import drift
from chunkdl.errors import UsageError
from chunkdl.identify.lockfile import Lock, LockedArtifact, LockedSelection, decode_lock, encode_lock
from chunkdl.model import Digest, DigestAlgorithm, Reference, RemoteFile, RepoType

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
    st.none() | texts,
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
locks = st.lists(artifacts, max_size=3).map(lambda each: Lock(tuple(each)))

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


@given(files, files)
def test_drift_names_every_difference(before, after):
    found = drift(before, after)
    assert bool(found) == ({each.path: each.digest for each in before} != {each.path: each.digest for each in after})
    assert len(found.lines()) == len(found.changed) + len(found.added) + len(found.removed)
    assert not drift(before, before)
