"""What the steps of each source mean, and whether a fetch could be fed by all of them together. Pure.

Decides advice and the exit code that a fetch would end with. One source that fails is a warning: that is
what several are for.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from chunkdl.addresses import parse_literal
from chunkdl.doctor.seen import Finding, Level
from chunkdl.settings.endpoints import is_confidential
from chunkdl.spelling import spell_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkdl.doctor.seen import SourceSeen, Step

# Signed URLs of S3 and compatible stores are refused 15 min off (RequestTimeTooSkewed); a third warns in time.
_SKEW_S = 300.0
# Longer than a round trip to the other side of the globe with a retransmission, per step.
_SLOW_S = 3.0
_WAYS = {
    "dns": "check the resolver (/etc/resolv.conf), or set HTTPS_PROXY: behind a proxy no name is looked up here",
    "refused": "nothing listens there: check address and port, or leave this mirror out",
    "timeout": "a firewall may drop this: set HTTPS_PROXY, or let other mirrors serve (--add-mirror URL)",
    "reset": "something on the way closes the connection: set HTTPS_PROXY, or let other mirrors serve",
    "unreachable": "check the network and HTTPS_PROXY",
    "tls": "a proxy or firewall may break TLS open: SSL_CERT_FILE names a bundle with its certificate",
    "tls-unknown-ca": "if this is your site's proxy or mirror, SSL_CERT_FILE (or the mirror's ca_file) names its CA; "
    "if not, do not trust this network",
    "tls-expired": "check this machine's clock; if it is right, the mirror's certificate has to be renewed",
    "tls-name": "the name resolves to somebody else, or a login page is in the way: open it in a browser",
    "not-the-file": "a login page may be in the way: open any http:// page in a browser first",
}
# With a proxy these steps are about the proxy, and the source itself was not asked.
_BEFORE_THE_PROXY = frozenset({"dns", "tcp"})
_FAKE_IP = ("198.18.", "198.19.")  # what Clash and sing-box answer for every name (198.18.0.0/15)
_NOT_FOUND, _DENIED, _POLICY, _TRANSPORT = "not-found", "access-denied", 7, 4


def judge_sources(sources: Sequence[SourceSeen], *, strict: bool, typed: bool) -> Iterator[Finding]:
    """Findings in the order in which a fetch would meet them.

    Args:
        sources: the origin first.
        strict: only the origin may vouch.
        typed: the user named the repository; if not, a hub that does not know it is none the worse.
    """
    origin, *mirrors = sources
    if strict and not is_confidential(origin.url):
        yield Finding(
            Level.PROBLEM,
            "strict-plain-http",
            origin.name,
            f"the origin {origin.url} is plain HTTP, which --trust strict refuses",
            "use its https address, or --trust auto",
            _POLICY,
        )
    yield from _judge_clock(sources)
    yield from _judge_authority(origin, mirrors, strict=strict, typed=typed)
    for each in sources:
        yield from _judge_source(each)


def speaks(source: SourceSeen) -> bool:
    """Whether it answers as a hub does, be it that it does not have what was asked for."""
    step = source.step("metadata")
    return step is not None and (step.ok or step.code == _NOT_FOUND)


def _judge_authority(
    origin: SourceSeen, mirrors: Sequence[SourceSeen], *, strict: bool, typed: bool
) -> Iterator[Finding]:
    refusal = _refusal(origin, typed=typed)
    if refusal is not None:
        yield Finding(
            Level.PROBLEM,
            refusal.code,
            origin.name,
            refusal.detail,
            refusal.hint or "check the name and the token",
            refusal.exit_code,
        )
    elif not speaks(origin):
        yield _silent(origin, [each for each in mirrors if speaks(each)], strict=strict)


def _refusal(origin: SourceSeen, *, typed: bool) -> Step | None:
    """The origin's final no: it ends a fetch whatever mirrors hold."""
    steps = (origin.step("metadata"), origin.step("token"))
    denied = next((each for each in steps if each is not None and each.code == _DENIED), None)
    metadata = origin.step("metadata")
    missing = metadata if typed and metadata is not None and metadata.code == _NOT_FOUND else None
    return denied or missing


def _silent(origin: SourceSeen, others: Sequence[SourceSeen], *, strict: bool) -> Finding:
    what = f"the origin {origin.url} does not answer"
    if strict:
        return Finding(
            Level.PROBLEM,
            "authority",
            origin.name,
            f"{what}, and --trust strict believes nobody else",
            _way(origin),
            _TRANSPORT,
        )
    if not others:
        advice = f"{_way(origin)}; or name a mirror that is reached from here: --add-mirror URL"
        return Finding(Level.PROBLEM, "nobody", origin.name, f"{what}, nor does any mirror", advice, _TRANSPORT)
    names = ", ".join(each.name for each in others)
    message = f"{what}: a fetch takes its listing from {names}, which is not authenticated"
    return Finding(Level.WARNING, "origin-silent", origin.name, message, _way(origin))


def judge_delivery(sources: Sequence[SourceSeen]) -> Iterator[Finding]:
    """Whether bytes come from any of those whose listing does; a fetch meets this last."""
    tried = [each for each in sources if each.step("range") is not None]
    if tried and not any(each.ranged is not None for each in tried):
        names = ", ".join(each.name for each in tried)
        advice = _way(tried[0])
        message = f"{names}: listings come through, bytes do not"
        yield Finding(Level.PROBLEM, "no-bytes", tried[0].name, message, advice, _TRANSPORT)
    elif tried and not any(each.ranged for each in tried):
        yield Finding(
            Level.WARNING,
            "no-ranges",
            tried[0].name,
            "no source honours ranges: one connection a file, and no resuming",
            "a proxy may strip the Range header: set the mirror's proxy to none, or add a mirror",
        )


def _judge_source(source: SourceSeen) -> Iterator[Finding]:
    failure = source.failure
    if failure is not None and failure.code == _NOT_FOUND:
        message = f"{source.name} answers, but has no {source.asked}: its bytes were not tried"
        yield Finding(Level.NOTE, "not-tried", source.name, message, "name another: chunkdl doctor REF")
    elif failure is not None:
        via = f" through {source.proxy}" if source.proxy else ""
        message = f"{source.name}{via}: {failure.name} failed: {failure.detail}"
        yield Finding(Level.WARNING, failure.code or "failed", source.name, message, _way(source))
    if source.ranged is False:
        message = f"{source.name} ignores ranges: it serves one stream a file, from the start"
        yield Finding(Level.NOTE, "ranges-ignored", source.name, message)
    if any(address.startswith(_FAKE_IP) and parse_literal(address) for address in source.addresses):
        message = f"{source.name} resolves to {source.addresses[0]}: a local proxy (Clash, sing-box) carries it"
        yield Finding(Level.NOTE, "fake-ip", source.name, message)
    for step in source.steps:
        if step.ok and step.seconds >= _SLOW_S:
            message = f"{source.name}: {step.name} took {spell_duration(step.seconds)}"
            yield Finding(Level.NOTE, "slow", source.name, message)


def _judge_clock(sources: Sequence[SourceSeen]) -> Iterator[Finding]:
    skews = {each.name: each.skew_s for each in sources if each.skew_s is not None}
    if not skews:
        return
    if all(abs(each) >= _SKEW_S for each in skews.values()):
        skew_s = median(skews.values())
        how = "ahead" if skew_s > 0 else "behind"
        message = f"this machine's clock is {spell_duration(abs(skew_s))} {how} of {', '.join(skews)}"
        advice = "set the clock (timedatectl set-ntp true): certificates and signed URLs depend on it"
        yield Finding(Level.WARNING, "clock", "clock", message, advice)
        return
    for name, skew_s in skews.items():
        if abs(skew_s) >= _SKEW_S:
            message = f"{name}'s clock is {spell_duration(abs(skew_s))} off the others'"
            yield Finding(Level.NOTE, "clock-of-mirror", name, message)


def _way(source: SourceSeen) -> str:
    """What to do about the first step that failed."""
    failure = source.failure
    if failure is None:
        return "check the network and HTTPS_PROXY"
    if source.proxy and failure.name in _BEFORE_THE_PROXY and not failure.hint:
        return f"that is the proxy {source.proxy}: check HTTPS_PROXY, or set the mirror's proxy to none"
    return failure.hint or _WAYS.get(failure.code, "check the network and HTTPS_PROXY, or use other mirrors")
