"""What options make of a reference, told without what may be a secret in it."""

import pytest

from chunkdl.errors import ChunkdlError
from chunkdl.identify.lockfile import Lock, LockedArtifact, LockedSelection
from chunkdl.identify.references import parse_reference
from chunkdl.pipeline.options import FetchOptions
from chunkdl.pipeline.wanted import parse_with

SIGNED = "https://files.example/model-x.pth?sig=SECRET"
COMMIT = "c" * 40


def locked(ref):
    return LockedArtifact(ref, parse_reference(ref), "id", COMMIT, "hub", True, 0.0, LockedSelection(), ())


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (SIGNED, FetchOptions("v1"), "has no revisions"),
        (SIGNED, FetchOptions(lock=Lock()), "which has nothing"),
        ("org/name", FetchOptions(lock=Lock((locked(SIGNED),))), "which has https://files.example/model-x.pth?..."),
        (SIGNED, FetchOptions("v1", lock=Lock((locked(SIGNED),))), f"fixes the default revision at {COMMIT}, not v1"),
        ("org/name@v1", FetchOptions("v2"), "org/name@v1 names revision v1, --revision says v2"),
        ("org/name", FetchOptions(lock=Lock()), "org/name is not in"),
    ],
)
def test_a_refusal_names_the_reference_and_no_secret(text, options, words):
    with pytest.raises(ChunkdlError) as refused:
        parse_with(text, options)
    assert words in refused.value.message
    assert "SECRET" not in refused.value.message + refused.value.hint
