import pytest

from chunkdl.assemble.digests import ContentHasher, hash_bytes
from chunkdl.errors import PolicyRefused
from chunkdl.identify.checkpoints import Facts, checkpoint_of, identify_checkpoint, name_digest
from chunkdl.identify.learnt import Lesson
from chunkdl.identify.references import parse_reference
from chunkdl.model import AuthorityKind, Digest, DigestAlgorithm, Strength

SHA = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of b"hello"
WHOLE = Digest(DigestAlgorithm.SHA256, SHA)
PREFIX = Digest(DigestAlgorithm.SHA256_PREFIX, SHA[:8])
FACTS = Facts(5, '"a"')
BARE = "https://host.example/model.pth"
NAMED = f"https://host.example/model-{SHA[:8]}.pth"


def identify(url, facts=FACTS, lesson=None, *, allow_unverified=False):
    return identify_checkpoint(checkpoint_of(parse_reference(url)), facts, lesson, allow_unverified=allow_unverified)


def lesson(digest=WHOLE, size=5, validator='"a"', strength=Strength.PREFIX):
    return Lesson(digest, size, validator, strength, 1000.0)


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        (f"model-{SHA[:8]}.pth", SHA[:8]),
        (f"mnasnet0.5_top1_67.823-{SHA[:10]}.pth", SHA[:10]),
        (f"m-{SHA}.pt", SHA),
        ("model-20230131.pth", None),
        ("model-2023013a.pth", "2023013a"),
        ("model-1234567.pth", None),
        ("model_32e5faaf.pth", None),
        ("model.pth", None),
    ],
)
def test_digits_in_a_name_are_a_sha256_unless_they_are_a_date(name, digits):
    found = name_digest(name)
    assert (found.hex if found else None) == digits


def test_digits_in_names_of_other_files_mean_nothing():
    assert checkpoint_of(parse_reference(f"https://host.example/app-{SHA[:8]}.js")).digest is None


def test_the_address_goes_before_the_name_and_the_name_before_nothing():
    assert identify(f"{NAMED}#sha256={SHA}").digest == WHOLE
    assert identify(NAMED).digest == PREFIX
    with pytest.raises(PolicyRefused):
        identify(BARE)


def test_what_was_learnt_counts_while_nothing_speaks_against_it():
    found = identify(NAMED, lesson=lesson())
    assert (found.digest, found.authority.kind, found.authority.as_of) == (WHOLE, AuthorityKind.LAST_KNOWN, 1000.0)
    assert identify(NAMED, lesson=lesson(size=6)).digest == PREFIX
    assert identify(NAMED, lesson=lesson(Digest(DigestAlgorithm.SHA256, "f" * 64))).digest == PREFIX
    assert identify(NAMED, Facts(5, '"b"'), lesson()).digest == WHOLE  # another edge of the same CDN
    assert identify(BARE, lesson=lesson()).digest == WHOLE


@pytest.mark.parametrize("facts", [Facts(5, '"b"'), Facts(5), Facts(6, '"a"')])
def test_a_bare_name_is_forgotten_once_its_server_says_something_else(facts):
    with pytest.raises(PolicyRefused):
        identify(BARE, facts, lesson())
    assert identify(BARE, facts, lesson(), allow_unverified=True).digest.algorithm is DigestAlgorithm.UNPROVEN


def test_what_was_never_proven_stays_unauthenticated():
    assert identify(BARE, lesson=lesson(strength=Strength.SIZE)).authority.authenticated is False
    assert identify(BARE, lesson=lesson()).authority.authenticated is True


def test_without_a_digest_each_state_of_an_address_is_another_content_and_not_mixable():
    states = [Facts(5, '"a"'), Facts(5, '"b"'), Facts(6, '"a"')]
    found = [identify(BARE, each, allow_unverified=True) for each in states]
    assert len({each.digest for each in found}) == 3
    assert not any(each.mixable for each in found)
    assert identify(f"{BARE}?v=2", allow_unverified=True).digest not in {each.digest for each in found}


@pytest.mark.parametrize(
    ("digest", "strength"),
    [
        (WHOLE, Strength.DIGEST),
        (PREFIX, Strength.PREFIX),
        (Digest(DigestAlgorithm.UNPROVEN, "0" * 64), Strength.SIZE),
    ],
)
def test_a_proof_is_of_the_whole_sha256_and_says_how_strong_it_is(digest, strength):
    proof = hash_bytes(b"hello", digest)
    assert (proof.digest, proof.size, proof.strength) == (WHOLE, 5, strength)


def test_other_bytes_and_other_lengths_prove_nothing():
    assert hash_bytes(b"hullo", WHOLE) is None
    assert hash_bytes(b"hullo", PREFIX) is None
    short = ContentHasher(DigestAlgorithm.UNPROVEN, 6)
    short.update(b"hello")
    assert short.prove(Digest(DigestAlgorithm.UNPROVEN, "0" * 64)) is None


@pytest.mark.parametrize("digits", ["1234567", "g" * 8, "A" * 8, "a" * 64])
def test_a_prefix_has_8_digits_and_fewer_than_all(digits):
    with pytest.raises(ValueError, match="not a sha256-prefix"):
        Digest(DigestAlgorithm.SHA256_PREFIX, digits)
