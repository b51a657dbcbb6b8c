"""Decides which mirrors may serve which bytes of a file, whatever their speed.

A source that answers without ranges streams alone, and only where nothing ranged is left. A host that
delivered wrong bytes gets those ranges again only if no other is left for them. One that broke the
protocol again and again, or refuses everything, is the last resort. "Left" means promising: not failing
again and again, or the good could wait for ever for the dead. Deliberately knows no rates and no seats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.state import FilePhase
from chunkdl.model import ByteRange

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from chunkdl.core.mirror_stats import Host, MirrorState
    from chunkdl.core.seats import Seat
    from chunkdl.core.state import FileState, Job, Lease


def is_promising(job: Job, mirror: MirrorState, file: FileState) -> bool:
    """True if ``mirror`` counts as a source for ``file`` when one asks whether there is another."""
    host = job.host_of(mirror, file)
    if mirror.standing.is_doubted(job.config) or host.standing.is_doubted(job.config):
        return False
    return mirror.refusals < job.config.refusals_to_doubt


def streams_only(mirror: MirrorState, file: FileState) -> bool:
    """True if ``mirror`` is believed to ignore ranges of ``file``."""
    return file.streams.get(mirror.name, mirror.streams_only and not file.small)


def others(job: Job, file: FileState, mirror: MirrorState) -> Iterator[MirrorState]:
    """Promising sources of ``file`` other than ``mirror``."""
    return (each for each in job.sources(file) if each is not mirror and is_promising(job, each, file))


def has_source_elsewhere(job: Job, file: int, hosts: Collection[str]) -> bool:
    """True if a promising source of ``file`` leads to a host that is not among ``hosts``."""
    state = job.files[file]
    sources = (each for each in job.sources(state) if is_promising(job, each, state))
    return any(job.host_of(each, state).name not in hosts for each in sources)


def is_last_resort(job: Job, mirror: MirrorState, host: Host) -> bool:
    """A host that broke the protocol again and again, or a mirror that refuses everything."""
    distrusted = mirror.standing.is_distrusted(job.config) or host.standing.is_distrusted(job.config)
    return distrusted or mirror.refusals >= job.config.refusals_to_doubt


def ranged_at(job: Job, file: FileState, mirror: MirrorState, offset: int) -> bool:
    """True if a promising source with ranges, other than ``mirror``, may deliver the byte at ``offset``."""
    return any(
        not streams_only(other, file) and dirty_to(job, file, other, offset) == offset
        for other in others(job, file, mirror)
    )


def dirty_to(job: Job, file: FileState, mirror: MirrorState, offset: int) -> int:
    """How far from ``offset`` the host behind ``mirror`` must not deliver; ``offset`` itself if it may."""
    avoided = file.avoided.get(job.host_of(mirror, file).name)
    return avoided.run_from(offset) if avoided is not None else offset


def dirty_until(job: Job, file: FileState, mirror: MirrorState, run: ByteRange) -> int:
    """How far from the start of ``run`` nobody but ``mirror`` is left; the start itself if somebody is."""
    stops = [dirty_to(job, file, other, run.start) for other in others(job, file, mirror)]
    return min([run.stop, *stops])


def is_unwanted(job: Job, lease: Lease, *, lone_stream: bool) -> str:
    """Why a lease whose answer has come should not go on; empty if it should.

    ``lone_stream``: it is a part of a file that turned out to come without ranges.
    """
    file = lease.file
    if lease.host.standing.excluded:
        return "its host is excluded"
    if file.phase is not FilePhase.OPEN:
        return "the file is over"
    if lone_stream and all(streams_only(mirror, file) for mirror in job.sources(file)):
        return "no source has ranges: one stream for the whole file"
    if must_avoid(job, lease):
        return "its host gave wrong bytes here before"
    return "mirrors that share its host have connections enough there" if _is_crowded(lease.host) else ""


def _is_crowded(host: Host) -> bool:
    """Mirrors that had not met before turn out to lead to one host: together they get what the widest of them may."""
    return sum(each.is_live for each in host.leases.values()) > host.controller.cap


def must_avoid(job: Job, lease: Lease) -> bool:
    """True if ``lease`` is about to deliver what its host got wrong before and somebody else may deliver."""
    if lease.anyway or lease.rest <= 0:
        return False
    return repeats(job, lease.file, (lease.mirror, lease.host), ByteRange(lease.received_to, lease.stop))


def repeats(job: Job, file: FileState, seat: Seat, run: ByteRange) -> bool:
    """True if the host of ``seat`` got something in ``run`` wrong before, and somebody else is left for it."""
    mirror, host = seat
    avoided = file.avoided.get(host.name)
    ahead = avoided.overlap(run.start, run.stop) if avoided is not None else []
    return bool(ahead) and dirty_until(job, file, mirror, ahead[0]) == ahead[0].start
