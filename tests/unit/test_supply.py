"""Several references that want one content: who brings it, and what becomes of the others if it goes away."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from chunkdl.core.planner import Action, PlannedContent
from chunkdl.model import Digest, DigestAlgorithm
from chunkdl.pipeline import contents
from chunkdl.pipeline.contents import Supply


def planned(number):
    digest = Digest(DigestAlgorithm.SHA256, f"{number:064x}")
    return PlannedContent(digest, 1, (f"{number}.bin",), Action.FETCH)


class Twin(Supply):
    """A supply whose bytes come when they are told to, and whose twins have always gone away."""

    def __init__(self, arriving):
        session = SimpleNamespace(arriving=arriving)
        destination = SimpleNamespace(paths_of=lambda content: SimpleNamespace(blob=Path(content.paths[0])))
        super().__init__(session, destination, None, [])
        self.looked = 0
        self.coming = asyncio.get_running_loop().create_future()

    async def _reuse(self, source, planned):
        self.looked += 1
        await asyncio.sleep(0)
        return False

    async def _get(self, planned):
        return await self.coming


async def test_of_those_whose_twin_went_away_one_after_the_other_tries_and_each_hears_its_own_failure():
    arriving = {}
    first, second, third = supplies = [Twin(arriving) for _ in range(3)]
    tasks = [asyncio.create_task(each._get_once(planned(1))) for each in supplies]
    await asyncio.sleep(0)
    first.coming.set_result("network")
    assert await tasks[0] == "network"
    second.coming.set_exception(LookupError("second"))
    third.coming.set_exception(LookupError("third"))
    found = await asyncio.gather(*tasks[1:], return_exceptions=True)
    assert [str(each) for each in found] == ["second", "third"]
    assert (second.looked, third.looked) == (1, 1)
    assert arriving == {}


async def test_a_session_remembers_so_many_arrivals_and_all_that_are_under_way(monkeypatch):
    monkeypatch.setattr(contents, "ARRIVALS_KEPT", 3)
    arriving = {}
    for number in range(6):
        supply = Twin(arriving)
        supply.coming.set_result("network")
        await supply._get_once(planned(number))
    assert [each.hex[-1] for each in arriving] == ["3", "4", "5"]
    arriving.clear()
    waiting = [Twin(arriving) for _ in range(5)]
    tasks = [asyncio.create_task(each._get_once(planned(number))) for number, each in enumerate(waiting)]
    await asyncio.sleep(0)
    assert len(arriving) == 5
    for task in tasks:
        task.cancel()
    assert await asyncio.gather(*tasks, return_exceptions=True)
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert arriving == {}
