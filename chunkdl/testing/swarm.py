"""Samples whole scenarios from a seed: not only how bad each fault is, but which kinds exist at all.

Swarm sampling: a run in which *every* fault is on hides the combinations in which a few are. Settings of
the scheduler are sampled too. Three phases: ``safety`` (anything may happen, nothing wrong may be called
right, and it must end), ``liveness`` (after the turmoil one honest host is calm: every file must be
proven), ``efficiency`` (only weather and stalls: time against the omniscient optimum).
"""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from chunkdl.core.policy import SchedulerConfig
from chunkdl.core.ranges import RangeSet
from chunkdl.model import MIB, ByteRange
from chunkdl.testing.simulated_network import FOREVER, HostModel, LinkModel, MirrorModel
from chunkdl.testing.simulated_run import FileModel, Scenario

# Turmoil lasts less than the no-progress budget, so that nothing is lost before the calm.
CALM_AT_S = 60.0
# Enough to live through the turmoil, little enough that thousands of runs stay affordable.
_TURMOIL_BYTES = 96 * MIB
_HONEST_BYTES_PER_S = 0.5e6
_FAULTS = (
    "connect", "busy", "throttle", "misbehaves", "cuts", "stalls", "dead-stalls", "late", "lies", "unranged",
    "down", "dribbles", "wobble", "missing",
)  # fmt: skip
_WIDTHS = (1, 2, 4, 8, 16)
# Draws of their own, beside the swarm's, so that every other seed keeps the scenario that it had.
_LIMITED_FOR_EVER = 0.06
_LONE_STREAM = 0.03
# Slow enough to take minutes, fast enough that the run stays affordable.
_LEAST_LIMIT_BYTES_PER_S = 0.3e6


def sample(seed: int) -> Scenario:
    """The scenario of ``seed``; its phase is one of safety, liveness, efficiency."""
    rng = Random(f"swarm {seed}")  # noqa: S311  repeatable, no secret
    phase = ("safety", "liveness", "efficiency")[seed % 3]
    if phase == "efficiency":
        return _efficiency(seed, rng)
    special = Random(f"special {seed}")  # noqa: S311  repeatable, no secret
    if phase == "liveness" and _chance(special, _LONE_STREAM):
        return _lone_stream(seed, special)
    scenario = _turmoil(seed, rng, phase)
    return _limited_for_ever(scenario, special) if _chance(special, _LIMITED_FOR_EVER) else scenario


def describe(scenario: Scenario) -> str:
    """Seed and every parameter, for a failing run."""
    lines = [f"seed {scenario.seed} phase {scenario.phase}", f"  {scenario.config}", f"  {scenario.link}"]
    lines += [f"  {each}" for each in (*scenario.hosts, *scenario.mirrors, *scenario.files)]
    lines += [f"  late sources {scenario.late_sources} write {scenario.write_bytes} cancel {scenario.cancel_at}"]
    return "\n".join(lines)


# --- efficiency ----------------------------------------------------------------------------------


def _efficiency(seed: int, rng: Random) -> Scenario:
    """Unequal honest hosts, weather, stalls, collapses: what people have on a good day."""
    kinds = {kind for kind in ("wobble", "stalls", "cuts", "dribbles", "link") if _chance(rng, 0.4)}
    hosts = tuple(_good_host(rng, f"host{n}", kinds) for n in range(rng.randint(1, 4)))
    supply = sum(host.bandwidth for host in hosts)
    size = max(8 * MIB, int(supply * rng.uniform(8.0, 60.0)))
    link = LinkModel(bandwidth=supply * rng.uniform(0.3, 0.9)) if "link" in kinds else LinkModel()
    files = _files(rng, size, tuple(f"mirror{n}" for n in range(len(hosts))))
    return Scenario(seed, "efficiency", SchedulerConfig(), hosts, _plain_mirrors(hosts), files, link)


def _good_host(rng: Random, name: str, kinds: set[str]) -> HostModel:
    bandwidth = _log_uniform(rng, 0.5e6, 40e6)
    dribbles = ((rng.uniform(2.0, 30.0), FOREVER, rng.choice((0.02, 0.1, 0.4))),) if "dribbles" in kinds else ()
    return HostModel(
        name=name,
        bandwidth=bandwidth,
        per_connection=bandwidth / rng.choice((1, 2, 4, 6)),
        latency_s=_log_uniform(rng, 0.01, 0.25),
        wobble=rng.choice((0.1, 0.3)) if "wobble" in kinds else 0.0,
        stalls_per_s=rng.choice((0.002, 0.01)) if "stalls" in kinds else 0.0,
        stall_s=rng.choice((10.0, 40.0, FOREVER)),
        cuts_per_s=0.01 if "cuts" in kinds else 0.0,
        dribbles=dribbles if _chance(rng, 0.5) else (),  # not every host collapses
    )


def _plain_mirrors(hosts: tuple[HostModel, ...]) -> tuple[MirrorModel, ...]:
    return tuple(MirrorModel(f"mirror{n}", host.name, host.name, host.name) for n, host in enumerate(hosts))


def _files(rng: Random, size: int, mirrors: tuple[str, ...]) -> tuple[FileModel, ...]:
    """A model repository: some small files, then a few big ones that share ``size``."""
    small = [rng.randint(1, MIB // 2) for _ in range(rng.choice((0, 3, 10)))]
    big = [size // parts for parts in [rng.choice((1, 1, 2, 5))] for _ in range(parts)]
    return tuple(
        FileModel(each, (ByteRange(0, each),), mirrors, rng.choice((4 * MIB, 8 * MIB))) for each in (*small, *big)
    )


# --- turmoil -------------------------------------------------------------------------------------


def _turmoil(seed: int, rng: Random, phase: str) -> Scenario:
    share = rng.choice((0.15, 0.3, 0.6))
    kinds = {kind for kind in _FAULTS if _chance(rng, share)}
    hosts = [_bad_host(rng, f"host{n}", kinds) for n in range(rng.randint(1, 4))]
    if phase == "liveness":
        bandwidth = max(hosts[0].bandwidth, _HONEST_BYTES_PER_S)
        hosts[0] = replace(
            hosts[0], calm_at=CALM_AT_S, lies=0.0, ranged=True, bandwidth=bandwidth, per_connection=bandwidth / 2
        )
    mirrors = _odd_mirrors(rng, hosts, kinds, honest=phase == "liveness")
    names = tuple(mirror.name for mirror in mirrors)
    count = rng.choice((1, 2, 5, 12))
    files = tuple(_odd_file(rng, names, _TURMOIL_BYTES // count, honest=phase == "liveness") for _ in range(count))
    return Scenario(
        seed=seed,
        phase=phase,
        config=_odd_config(rng),
        hosts=tuple(hosts),
        mirrors=mirrors,
        files=files,
        link=_odd_link(rng),
        late_sources=tuple(
            (rng.uniform(0.0, 20.0), rng.randrange(len(files)), rng.choice(names)) for _ in range(rng.choice((0, 0, 3)))
        ),
        write_bytes=rng.choice((1, 65536, MIB)),
        cancel_at=rng.uniform(0.0, 20.0) if phase == "safety" and _chance(rng, 0.05) else None,
    )


def _limited_for_ever(scenario: Scenario, rng: Random) -> Scenario:
    """Our own limiter holds back whatever comes, and connections fall silent for good."""
    limit = max(_LEAST_LIMIT_BYTES_PER_S, scenario.link.limit)
    link = replace(scenario.link, limited=((rng.uniform(0.0, 10.0), FOREVER),), limit=limit)
    stalls_per_s = rng.choice((0.02, 0.2))
    hosts = tuple(replace(each, stalls_per_s=stalls_per_s, stall_s=FOREVER) for each in scenario.hosts)
    return replace(scenario, link=link, hosts=hosts)


def _lone_stream(seed: int, rng: Random) -> Scenario:
    """A resumed file whose only source has no ranges: all that is here already must be read past again."""
    rate = _log_uniform(rng, 0.2e6, 5e6)
    host = HostModel(
        "host0",
        bandwidth=rate,
        per_connection=rate,
        latency_s=_log_uniform(rng, 0.005, 0.4),
        wobble=rng.choice((0.0, 0.4)),
        stalls_per_s=rng.choice((0.0, 0.2)),
        stall_s=rng.choice((3.0, FOREVER)),
        ranged=False,
        calm_at=CALM_AT_S,
    )
    size = rng.randint(_TURMOIL_BYTES // 4, _TURMOIL_BYTES)
    file = FileModel(size, (ByteRange(int(size * rng.uniform(0.5, 0.95)), size),), ("mirror0",), 8 * MIB)
    return Scenario(seed, "liveness", SchedulerConfig(), (host,), _plain_mirrors((host,)), (file,))


def _bad_host(rng: Random, name: str, kinds: set[str]) -> HostModel:
    def on(kind: str) -> bool:
        return kind in kinds and _chance(rng, 0.6)  # a fault of the run, not of every host

    bandwidth = _log_uniform(rng, 0.2e6, 20e6)
    stalls = on("stalls")
    return HostModel(
        name=name,
        bandwidth=bandwidth,
        per_connection=bandwidth / rng.choice((1, 3, 8)),
        latency_s=_log_uniform(rng, 0.005, 0.4),
        wobble=0.4 if on("wobble") else 0.0,
        connect_failure=rng.choice((0.1, 0.5, 1.0)) if on("connect") else 0.0,
        busy=rng.choice((0.05, 0.3)) if on("busy") else 0.0,
        busy_retry_after_s=rng.choice((None, 0.0, 2.0, 20.0)),
        throttle_above=rng.choice((0, 1, 3)) if on("throttle") else None,
        misbehaviour=rng.choice((0.05, 0.5, 1.0)) if on("misbehaves") else 0.0,
        cuts_per_s=rng.choice((0.02, 0.3, 3.0)) if on("cuts") else 0.0,
        stalls_per_s=rng.choice((0.02, 0.2)) if stalls or on("dead-stalls") else 0.0,
        stall_s=rng.choice((3.0, 20.0)) if stalls else FOREVER,
        late_answer=rng.choice((0.2, 1.0)) if on("late") else 0.0,
        late_s=rng.choice((5.0, 40.0)),
        lies=rng.choice((0.1, 1.0)) if on("lies") else 0.0,
        ranged=not on("unranged"),
        down=((rng.uniform(0.0, 20.0), rng.uniform(20.0, 50.0)),) if on("down") else (),
        dribbles=((rng.uniform(0.0, 20.0), rng.uniform(20.0, 60.0), 0.01),) if on("dribbles") else (),
    )


def _odd_mirrors(rng: Random, hosts: list[HostModel], kinds: set[str], *, honest: bool) -> tuple[MirrorModel, ...]:
    """One mirror a host, sometimes one more that redirects to the same; some lead elsewhere than they seem."""
    mirrors = []
    for n in range(len(hosts) + (_chance(rng, 0.3))):
        big = hosts[n % len(hosts)].name
        small = big if _chance(rng, 0.7) else rng.choice(hosts).name
        missing = frozenset(f for f in range(12) if "missing" in kinds and _chance(rng, 0.4))
        first = honest and n == 0
        mirrors.append(
            MirrorModel(
                name=f"mirror{n}",
                expected_host=rng.choice((big, f"front{n}")),
                small_host=big if first else small,
                big_host=big,
                max_connections=rng.choice(_WIDTHS),
                first_byte_s=rng.choice((15.0, 15.0, 300.0)),
                missing=frozenset() if first else missing,
            )
        )
    return tuple(mirrors)


def _odd_file(rng: Random, mirrors: tuple[str, ...], largest: int, *, honest: bool) -> FileModel:
    size = rng.choice((1, rng.randint(1, 5000), rng.randint(1, 4 * MIB), rng.randint(1, largest)))
    missing = RangeSet([ByteRange(0, size)])
    resumed = _chance(rng, 0.3) and size > 1
    if resumed:
        for _ in range(3):
            start = rng.randrange(size)
            missing.remove(start, start + rng.randrange(size))
        missing.add(size - 1, size)
    sole = _chance(rng, 0.2)
    chosen = tuple(name for name in mirrors if not sole and _chance(rng, 0.9))
    if honest and mirrors[0] not in chosen:
        chosen = (mirrors[0], *chosen)
    if not chosen and _chance(rng, 0.8):  # a file without any source is legal too
        chosen = (rng.choice(mirrors),)
    return FileModel(
        size=size,
        pending=tuple(missing),
        mirrors=chosen,
        segment_bytes=rng.choice((4096, 4 * MIB, 8 * MIB)),
        rejected_at=rng.uniform(0.0, 10.0) if resumed else None,
    )


def _odd_config(rng: Random) -> SchedulerConfig:
    if _chance(rng, 0.5):  # every second run has the settings that people have
        return SchedulerConfig()
    return SchedulerConfig(
        max_leases=rng.choice((1, 2, 64)),
        host_cap=rng.choice((1, 4, 16)),
        start_connections=rng.choice((1, 4)),
        lease_s=rng.choice((2.0, 10.0)),
        probe_bytes=rng.choice((MIB // 4, 4 * MIB)),
        small_bytes=rng.choice((0, MIB)),
        hedge_share=rng.choice((0.0, 0.01)),
        hedge_floor_bytes=rng.choice((0, MIB)),
    )


def _odd_link(rng: Random) -> LinkModel:
    down = ((rng.uniform(0.0, 15.0), rng.uniform(15.0, 45.0)),) if _chance(rng, 0.2) else ()
    limited = ((rng.uniform(0.0, 10.0), rng.uniform(10.0, 60.0)),) if _chance(rng, 0.2) else ()
    return LinkModel(down=down, limited=limited, limit=_log_uniform(rng, 20e3, 2e6))


def _chance(rng: Random, probability: float) -> bool:
    return rng.random() < probability


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))
