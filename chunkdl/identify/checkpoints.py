"""One file that a name or an address stands for, with whatever says what its bytes must be.

Decides which digest counts: the address's own ``#sha256=``, the table of names that lie, the digits in a checkpoint's
name. Pure: what is known from earlier runs and what a server says come in as arguments.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.errors import PolicyRefused
from chunkdl.identify.torchhub import find_weights, table, true_prefix
from chunkdl.identify.url_references import is_checkpoint, read_address, sha256_named, shown
from chunkdl.model import Authority, AuthorityKind, Digest, DigestAlgorithm, Hub, Strength
from chunkdl.settings.endpoints import is_confidential, netloc_of

if TYPE_CHECKING:
    from chunkdl.identify.learnt import Lesson
    from chunkdl.model import Reference

# torch.hub reads the digits between a dash and the next dot, and its documentation asks for eight or more.
_HASH = re.compile(r"-([0-9a-f]{8,64})\.")
# Dates look like eight such digits; of true prefixes one in 60 000 does.
_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the file lies, what it is called, and what proves it; ``mislabelled`` if its name says something else.

    ``title`` is what it is for people: ``resnet50.IMAGENET1K_V2``, or the file's name.
    """

    url: str
    name: str
    title: str
    digest: Digest | None = None
    mislabelled: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of a file: its length in bytes, and what changes when the file does (empty if nothing)."""

    size: int
    validator: str = ""


def checkpoint_of(reference: Reference, *, by_name: bool = True) -> Checkpoint:
    """The file that a reference to torch or to an address means.

    Args:
        reference: its hub is ``TORCH`` or ``URL``.
        by_name: False if digits in a file's name are to mean nothing.

    Raises:
        ArtifactNotFound: torchvision knows no such name.
    """
    if reference.hub is Hub.TORCH and reference.url is not None:  # whatever the table says by now
        address = read_address(reference.url)
        return _judged(address.url, address.name, reference.repo_id, by_name=True)
    if reference.hub is Hub.TORCH:
        weights = find_weights(reference.repo_id)
        address = read_address(weights.url)
        return _judged(address.url, address.name, f"{weights.model}.{weights.weights}", by_name=True)
    address = read_address(reference.url or "")
    if address.digest is not None:
        return Checkpoint(address.url, address.name, address.name, address.digest)
    return _judged(address.url, address.name, address.name, by_name=by_name)


def _judged(url: str, name: str, title: str, *, by_name: bool) -> Checkpoint:
    original = url.partition("?")[0].rpartition("/")[2]
    true = true_prefix(original)
    if true is not None:
        return Checkpoint(url, name, title, Digest(DigestAlgorithm.SHA256_PREFIX, true), mislabelled=True)
    digest = name_digest(original) if by_name and is_checkpoint(original) else None
    return Checkpoint(url, name, title, digest)


def name_digest(name: str) -> Digest | None:
    """The sha256, or its first digits, that a checkpoint's name carries; None if it carries none, or a date."""
    found = _HASH.search(name)
    if found is None or _DATE.fullmatch(found[1]):
        return None
    return sha256_named(found[1])


@dataclass(frozen=True, slots=True)
class Identification:
    """What the bytes must be, who says so, and whether that may be had from several sources at once."""

    digest: Digest
    authority: Authority
    mixable: bool = True


def identify_checkpoint(
    checkpoint: Checkpoint, facts: Facts, lesson: Lesson | None, *, allow_unverified: bool
) -> Identification:
    """Settle what the bytes must be; what earlier runs learnt counts while nothing speaks against it.

    Raises:
        PolicyRefused: nothing says what they must be, and the user did not allow that.
    """
    digest, host = checkpoint.digest, netloc_of(checkpoint.url)
    authority = Authority(AuthorityKind.ORIGIN, host, is_confidential(checkpoint.url))
    if digest is not None and digest.names_content:
        return Identification(digest, authority)
    if lesson is not None and lesson.still_holds(digest, facts):
        told = Authority(AuthorityKind.LAST_KNOWN, host, lesson.strength is not Strength.SIZE, lesson.at)
        return Identification(lesson.digest, told)
    if digest is not None:
        return Identification(digest, _named(checkpoint, authority))
    if not allow_unverified:
        raise unverifiable(checkpoint)
    key = "\0".join((checkpoint.url, str(facts.size), facts.validator))
    unproven = Digest(DigestAlgorithm.UNPROVEN, hashlib.sha256(key.encode()).hexdigest())
    return Identification(unproven, authority, mixable=False)


def _named(checkpoint: Checkpoint, authority: Authority) -> Authority:
    """Names of torchvision's are said by a table of ours, whoever serves the bytes."""
    if checkpoint.mislabelled or checkpoint.title != checkpoint.name:
        return Authority(AuthorityKind.ORIGIN, table().source, authenticated=True)
    return authority


def unverifiable(checkpoint: Checkpoint) -> PolicyRefused:
    """Nothing but the length could be checked."""
    return PolicyRefused(
        f"{shown(checkpoint.url)}: nothing says which bytes this file must have",
        hint="add #sha256=HEX if its publisher names it, or pass --allow-unverified: then the server's length is all "
        "that is checked, and the sha256 is remembered for the next time",
        file=checkpoint.name,
    )
