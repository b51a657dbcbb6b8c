import signal
import subprocess

import huggingface_hub
import pytest
from conftest import LIMIT_S, NAME, contents
from support.journals import claimed_bytes
from support.programs import looks

from chunkdl.testing import SeededContent

BIG = 24 << 20
EASY_RATE = 6 << 20
RATE = 1 << 20  # until the test has pruned: 24 seconds, of which a tenth is waited for


@pytest.fixture
def slow(serve, model_folder):
    files = contents(model_folder) | {"model.safetensors": SeededContent(seed=1, size=BIG)}
    return serve(files, rate_bytes_per_s=RATE)


def started(hub):
    """A fetch in the background, once a few megabytes are on record."""
    process = subprocess.Popen(
        hub.chunkdl(NAME, "--progress", "none"),
        env=hub.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert any(claimed > BIG // 10 for claimed in looks(lambda: claimed_bytes(hub.cache), LIMIT_S))
    hub.online("hf", "cache", "ls", "--quiet")  # what a user does while waiting
    return process


def prune(hub):
    pruned = hub.online("hf", "cache", "prune", "-y")
    assert pruned.returncode == 0, pruned.stderr


def test_pruning_in_mid_transfer_costs_nothing(slow):
    process = started(slow)
    prune(slow)
    assert process.poll() is None, "it was still at work"
    slow.server.rate_bytes_per_s = EASY_RATE
    assert process.wait(LIMIT_S) == 0, process.stderr.read().decode()
    process.stderr.close()
    assert slow.server.bytes_served < BIG * 1.2
    assert huggingface_hub.scan_cache_dir(slow.cache).warnings == []


def test_pruning_between_an_interrupt_and_the_resumption_costs_nothing(slow):
    process = started(slow)
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 130
    process.stderr.close()
    prune(slow)
    assert huggingface_hub.scan_cache_dir(slow.cache).warnings == []
    slow.server.rate_bytes_per_s = EASY_RATE
    report = slow.fetch()
    assert report["totals"]["bytes_reused"] > BIG // 10
    assert slow.server.bytes_served < BIG * 1.3
