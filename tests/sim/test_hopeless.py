"""Where nobody has the file: the program's own budgets end the run, by the virtual clock.

The hostile table plays such rows with budgets scaled down, since nobody wants to wait for minutes; here is what the
real ones amount to.
"""

import pytest

from chunkdl.core.policy import SchedulerConfig
from chunkdl.model import MIB, ByteRange
from chunkdl.testing.simulated_network import FOREVER, HostModel, MirrorModel
from chunkdl.testing.simulated_run import FileModel, Scenario, SimulatedRun

BUDGET = SchedulerConfig()
# No progress for 120 s, told when an attempt ends: for a lone source that keeps us waiting those double from 15 s on.
NO_PROGRESS_S = 2 * BUDGET.no_progress_s
# A server that asks for time gets 600 s of it, and half a minute to prove that it meant it.
ASKED_FOR_TIME_S = BUDGET.retry_after_max_s + BUDGET.backoff_max_s

WAYS = {
    "refuses connections": ({"connect_failure": 1.0}, NO_PROGRESS_S),
    "503 without a word": ({"busy": 1.0}, NO_PROGRESS_S),
    "503 for an hour": ({"busy": 1.0, "busy_retry_after_s": 3600.0}, ASKED_FOR_TIME_S),
    "429 for a minute, always": ({"throttle_above": 0, "busy_retry_after_s": 60.0}, ASKED_FOR_TIME_S),
    "breaks the protocol": ({"misbehaviour": 1.0}, NO_PROGRESS_S),
    "accepts and is silent": ({"late_answer": 1.0, "late_s": 1e6}, NO_PROGRESS_S),
    "answers and is silent": ({"stalls_per_s": 1e12, "stall_s": FOREVER}, NO_PROGRESS_S),
    "is not there": ({"down": ((0.0, FOREVER),)}, NO_PROGRESS_S),
}


def alone(size, **faults):
    host = HostModel("h", bandwidth=10e6, per_connection=2.5e6, latency_s=0.05, **faults)
    mirror = MirrorModel("m", "h", "h", "h")
    file = FileModel(size, (ByteRange(0, size),), ("m",), 8 * MIB)
    return Scenario(1, "liveness", BUDGET, (host,), (mirror,), (file,))


@pytest.mark.parametrize("size", [300_000, 100 * MIB], ids=["small", "big"])
@pytest.mark.parametrize("way", WAYS)
def test_the_real_budgets_end_it(way, size):
    faults, limit_s = WAYS[way]
    outcome = SimulatedRun(alone(size, **faults)).run()
    assert list(outcome.failed) == [0]
    assert outcome.seconds <= limit_s + 1.0
