"""The scheduler's numbers: every limit with its unit, its bound and where it comes from.

Decides nothing by itself. Values are starting points that a run, a test or a simulation may replace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from chunkdl.model import MIB


class Rng(Protocol):
    """What the scheduler needs of a random generator: jitter, nothing else."""

    def random(self) -> float:
        """A float in ``[0, 1)``."""


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Limits of one run. Times in seconds, sizes in bytes."""

    # Capacity. 16 a host is aria2's hard maximum, kept for the servers' sake; 32 leases with two
    # buffers of 1 MiB each fill 64 MiB of receive memory, and more would only wait for one.
    max_leases: int = 32
    host_cap: int = 16
    start_connections: int = 4
    # A host that falls silent must not starve the others until it is cut: so many of its leases are not counted.
    # They keep their two buffers of 1 MiB, hence the pool is that much larger than the 32 need.
    spared_seats: int = 8

    # Leases. 8-15 s of a connection's rate cost one idle round trip in about a hundred; an unknown
    # connection is probed with half a segment's worth; below 256 KiB a request is mostly latency.
    lease_s: float = 10.0
    # Where round trips are short, so are leases: 50 of them cost 2 %, and the contiguous front, which
    # hashing follows, then never waits long for one lease (measured: 1.6 s of hashing after 2 GiB else).
    lease_round_trips: float = 50.0
    lease_least_s: float = 0.25
    probe_bytes: int = 4 * MIB
    min_lease_bytes: int = MIB // 4
    small_bytes: int = MIB  # files up to this are one lease each
    # Near the end an idle round trip may cost an eighth of a lease: longer ones leave the far hosts with the tail alone
    # (three unequal links of 50 to 220 ms, two runs each: 0.80 and 0.76 of the limit with 20, 0.82 and 0.84 with 8).
    round_trips_per_lease: float = 8.0

    # Stealing and hedging. A steal costs the victim its socket (about 3 round trips with TLS).
    steal_min_bytes: int = MIB // 8
    steal_min_gain_s: float = 0.25
    steal_same_host_gain_s: float = 1.0  # freed bandwidth flows to siblings by itself
    steals_per_lease: int = 8
    hedge_max_bytes: int = 4 * MIB
    hedge_min_gain_s: float = 0.5
    hedge_silence_s: float = 2.0
    hedge_share: float = 0.01  # wasted bytes stay under 1 % of the job …
    hedge_floor_bytes: int = MIB // 2  # … or half a MiB in jobs smaller than 50 MiB

    # Stalls. Other tools wait 10-300 s; in simulation 8 s won half of the lost time back.
    stall_s: float = 8.0
    stall_idle_s: float = 5.0  # when another host stands idle
    stall_max_s: float = 300.0  # ceiling of the ladder for a sole source
    slow_share: float = 0.2
    slow_after_s: float = 10.0
    link_silent_s: float = 4.0  # nobody got a byte for so long: suspect our own link
    answer_grace_s: float = 20.0  # beyond first_byte_s: the engine's own limits (connect 10 s) come first

    # Failure. Full jitter; a host that broke the protocol three times is the last choice.
    backoff_min_s: float = 0.5
    backoff_max_s: float = 30.0
    link_backoff_max_s: float = 4.0  # with the link down nobody is punished, all are probed
    retry_after_max_s: float = 600.0
    failures_to_doubt: int = 3
    strikes_to_distrust: int = 3
    # Then one more chance: bans decay, or the run may run out of mirrors. Chosen: a whole budget, so that a host with
    # one bad minute comes back (without this, seed 12391 of the simulation crept on with a worse one).
    distrust_s: float = 120.0
    forgive_s: float = 60.0  # one failure is forgotten in this time; chosen: twice the longest rest
    refusals_to_doubt: int = 3  # chosen, as the failures above: one may be about the file, three in a row are about us
    no_progress_s: float = 120.0  # counts lack of progress, not attempts
    # Mirrors get 20 s to tell what they hold; a bad one among them is asked again for hours, but not waited for.
    asking_s: float = 20.0
    late_source_s: float = 2.0  # a file without a source, with nobody being asked: what is found may be on its way

    # Rhythm. Stalls are judged to a quarter second; marks come ten times a second.
    tick_s: float = 0.25
    story_lines: int = 200
