"""Few descriptors: with any number of them a run ends well, or says that they are too few; it never hangs."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.cache_rules import broken_rules
from tests.support.trials import FACTOR

# More contents than connections, each large enough for a part file of its own.
WEIGHTS = {f"w-{number:02}.safetensors": SeededContent(100 + number, (1 << 20) + 4096) for number in range(24)}
SMALL = {f"small-{number}.json": b"[%d]" % number for number in range(20)}
REPO = HubRepo("org/name", {**WEIGHTS, **SMALL})
LEAST = 28  # a content, its journal and lock, two connections, and what an interpreter with an event loop has open
TOO_FEW = (6, 8, 12, 18, LEAST - 1)
ENOUGH = (LEAST, 31, 40, 64, 100, 256)
MANY = 24  # sources, all of which are asked at once
LEAST_OF_MANY = 16 + MANY + 3


@pytest.fixture(scope="module")
def urls():
    with ExitStack() as stack:
        servers = [stack.enter_context(MirrorServer([REPO]).in_thread()) for _ in range(3)]
        yield [each.url for each in servers]


@pytest.fixture(scope="module")
def many_urls():
    with ExitStack() as stack:
        servers = [stack.enter_context(MirrorServer([REPO]).in_thread()) for _ in range(MANY)]
        yield [each.url for each in servers]


def test_too_few_are_refused_at_once_with_the_remedy(tmp_path, workers, urls):
    def judge(server, nofile):
        ending = server.run(tmp_path / str(nofile), *urls, nofile=nofile)
        assert ending.status == 6, ending
        assert f"may open only {nofile} files" in ending.err
        assert "ulimit -n" in ending.err

    workers.each(judge, TOO_FEW)


def test_few_are_enough(tmp_path, workers, urls):
    def judge(server, nofile):
        folder = tmp_path / str(nofile)
        ending = server.run(folder, *urls, nofile=nofile)
        assert ending.status == 0, f"{nofile} descriptors: {ending}"
        assert broken_rules(folder / "hub", REPO, finished=True) == []

    workers.each(judge, ENOUGH if FACTOR == 1 else range(28, 257, 9))


def test_many_sources_take_one_each_or_are_refused_at_once(tmp_path, workers, many_urls):
    def judge(server, nofile):
        folder = tmp_path / str(nofile)
        ending = server.run(folder, *many_urls, nofile=nofile)
        if nofile < LEAST_OF_MANY:
            assert ending.status == 6, ending
            assert f"{MANY} sources take {LEAST_OF_MANY}" in ending.err
            assert "ulimit -n" in ending.err
        else:
            assert ending.status == 0, f"{nofile} descriptors: {ending}"
            assert broken_rules(folder / "hub", REPO, finished=True) == []

    workers.each(judge, [LEAST, LEAST_OF_MANY - 1, LEAST_OF_MANY, LEAST_OF_MANY + 1, LEAST_OF_MANY + 9])
