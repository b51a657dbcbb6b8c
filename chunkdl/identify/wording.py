"""What identification tells a person, word by word. Decides phrasing and codes of notices, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.errors import AuthorityUnreachable, ChunkdlError, OfflineMiss, PolicyRefused
from chunkdl.identify.vouching import short
from chunkdl.model import MirrorKind
from chunkdl.observe import Notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.identify.asking import Refused
    from chunkdl.identify.attestation import Attestation
    from chunkdl.identify.known import Unconfirmed
    from chunkdl.identify.vouching import Election
    from chunkdl.model import Artifact, Reference, RemoteFile
    from chunkdl.settings import Settings

_NAMED_FILES = 5  # names in one line; the rest is counted
_REACH_HINT = "check the network and HTTPS_PROXY, or name a mirror with --mirror"
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for unit_s, name in ((_DAY_S, "days"), (_HOUR_S, "hours"), (_MINUTE_S, "minutes")):
        if seconds >= 2 * unit_s:
            return f"{int(seconds // unit_s)} {name} ago"
    return "a moment ago" if seconds < _MINUTE_S else "a minute ago" if seconds < 2 * _MINUTE_S else "minutes ago"


def offline(reference: Reference, settings: Settings) -> OfflineMiss:
    """Nothing may be asked, and what is there does not suffice."""
    why = settings.offline_because or "offline mode"
    return OfflineMiss(
        f"{reference.text} is not complete in the cache and {why} forbids asking",
        hint="add --online to override it for this command",
    )


def plain_http(settings: Settings) -> PolicyRefused:
    """Strict trust and an origin whose word anybody on the way can change."""
    return PolicyRefused(
        f"the origin {settings.origin.url} is plain HTTP, which --trust strict refuses",
        hint="use its https address, or --trust auto",
        mirror=settings.origin.name,
    )


def unreachable(settings: Settings, why: ChunkdlError | None, refused: Sequence[Refused]) -> AuthorityUnreachable:
    """Nobody could say what the files are."""
    failures = [each for each in (why, *(other.error for other in refused)) if each]
    reasons = [each.message for each in failures]
    contents = [each.name for each in settings.mirrors if each.kind is MirrorKind.MODELSCOPE]
    if contents and len(contents) == len(settings.mirrors):
        reasons.append(f"{', '.join(contents)} has contents and knows no commits")
    hint = next((each.hint for each in failures if each.hint), _REACH_HINT)
    if settings.trust == "strict":
        hint = f"{hint}; --trust strict believes the origin only, --trust auto lets mirrors vouch"
    return AuthorityUnreachable(
        f"no authority answers: {'; '.join(reasons) or 'none is configured'}", hint=hint, mirror=settings.origin.name
    )


def silent_origin(settings: Settings, why: ChunkdlError | None, since_s: float | None) -> str:
    """The first half of a notice: why the origin has no say."""
    if why is not None:
        return f"the origin does not answer ({why.message})"
    return f"the origin {settings.origin.name} did not answer {age(since_s or 0.0)} and is asked in the background"


def last_known(artifact: Artifact, now: float, silence: str) -> Notice:
    """An earlier answer of the origin stands in."""
    then = age(now - (artifact.authority.as_of or now))
    message = f"{silence}: using commit {short(artifact.commit)}, which it named {then}"
    return Notice("last-known", message)


def vouched(election: Election, executables: Sequence[RemoteFile], silence: str) -> Notice:
    """Mirrors stand in, unauthenticated; files that may run code are named."""
    names = ", ".join([*(each.mirror.name for each in election.vouchers), *map(_attested, election.attested)])
    commit = short(election.winner.info.commit)
    if election.voices == 1:
        code, story = "one-mirror-unconfirmed", f"commit {commit} is the word of one mirror, unconfirmed ({names})"
    else:
        code, story = "mirrors-vouch", f"{election.voices} independent mirrors vouch for commit {commit} ({names})"
    return Notice(code, f"{silence}: {story}; not authenticated{_risk(executables)}")


def _attested(attestation: Attestation) -> str:
    return f"{attestation.mirror.name} for the files that have a sha256"


def others_differ(election: Election) -> Notice:
    """Who tells another story than the one that was taken."""
    commit = election.winner.info.commit
    stories = [
        f"{each.mirror.name} "
        + ("lists that commit otherwise" if each.info.commit == commit else f"has commit {short(each.info.commit)}")
        + (f" of {day}" if (day := each.info.last_modified.partition("T")[0]) else "")
        for each in election.others
    ]
    message = f"{', '.join(stories)}: asked only for files that have the same digest there"
    return Notice("mirrors-differ", message)


def _risk(executables: Sequence[RemoteFile]) -> str:
    if not executables:
        return ""
    shown = ", ".join(each.path for each in executables[:_NAMED_FILES])
    more = len(executables) - _NAMED_FILES
    return f"; loading may run code from {shown}{f' and {more} more' if more > 0 else ''}"


def name_told(reference: Reference, mirrors: Sequence[str]) -> Notice:
    """A token is set, the origin is silent, so nobody said that the name is public."""
    return Notice(
        "name-told", f"the name {reference.repo_id} is told to {', '.join(mirrors)} although you have a token"
    )


def gated_mirrors(reference: Reference) -> Notice:
    """Why only the origin serves a gated repository."""
    message = f"{reference.repo_id} is gated: it comes from the origin, and from mirrors that have a token of their own"
    return Notice("gated", message)


def confirmed(earlier: Unconfirmed) -> Notice:
    """What was placed on the mirrors' word turned out to be true."""
    message = f"confirmed: the origin lists commit {short(earlier.commit)} just as {earlier.vouchers} said"
    return Notice("confirmed", message)


def differs(earlier: Unconfirmed, reference: Reference) -> Notice:
    """What was placed on the mirrors' word turned out to be something else."""
    message = (
        f"differs: {earlier.vouchers} vouched for commit {short(earlier.commit)} of {reference.repo_id}, "
        "which the origin does not have or lists otherwise; do not use that snapshot"
    )
    return Notice("differs", message)


def contradicted(artifact: Artifact, what: str) -> PolicyRefused:
    """The origin answered in mid-transfer and says something else."""
    return PolicyRefused(
        f"the origin answered meanwhile and {what}, so {artifact.reference.text} is not placed",
        hint="run the same command again: what is fetched stays, and the origin answers now",
    )


def newer_commit(artifact: Artifact, newest: str) -> Notice:
    """The branch moved on while mirrors served: what they gave is true, and there is something newer."""
    reference = artifact.reference
    message = (
        f"the origin confirms commit {short(artifact.commit)} of {reference.text} and names a newer commit "
        f"for {reference.revision or 'main'} by now, {short(newest)}: run the same command again to have that"
    )
    return Notice("newer-commit", message)


def state_unusable(trouble: str) -> Notice:
    """Nothing could be remembered."""
    return Notice("state-unusable", f"nothing is remembered between runs: {trouble}")
