"""Playing one row of the hostile table: its servers, one fetch with the program's own limits, what came of it.

Decides nothing about right and wrong (``verdict`` does). Many rows play at once in one loop, each with servers
and a cache of its own; a batch also fetches from an honest mirror alone, which is what its times are held against.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from chunkdl.core.policy import SchedulerConfig
from chunkdl.model import Mirror
from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.hostile.table import RATE_BYTES_PER_S, SIZE_BYTES, USELESS, Place, Row
from tests.support.scene import Scene, small_repo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.report import Report

Case = tuple[Row, Place]
# Fetches at once: as many as two cores carry while each still takes about as long as it would alone.
BATCH = 20
TLS_FILES = Path(__file__).parents[2] / "fixtures" / "tls"
PUBLIC_NAME = "liar.example"
NOBODY = "http://127.0.0.1:9"  # the discard service: refuses at once
# A fetch that is not over by then hangs: three times the slowest row that ends well.
HUNG_S = 100.0
# Where nobody has the file, how long to try is a matter of patience, not of safety: there the program's budgets
# (120 s without progress, 600 s for a server that asks for time, 30 s between attempts, 15 s for a first byte)
# are scaled down. Everything else runs with the program's own.
IMPATIENT = {"no_progress_s": 8.0, "retry_after_max_s": 8.0, "backoff_max_s": 3.0}
IMPATIENT_FIRST_BYTE_S = 3.0
_budgets: ContextVar[dict] = ContextVar("budgets", default={})  # noqa: B039  read only


@dataclass
class Played:
    """What a fetch did. ``report`` is None if it hung or raised; ``mishap`` says which."""

    row: Row
    place: Place
    repo: HubRepo
    scene: Scene
    report: Report | None = None
    mishap: str = ""
    wall_s: float = 0.0
    honest_s: float = 0.0
    liar: MirrorServer | None = None
    liar_name: str = ""
    trapped: int = 0

    @property
    def name(self) -> str:
        """Which row, where."""
        return case_name(self.row, self.place)


def case_name(row: Row, place: Place) -> str:
    """One row in one place, as tests and tables call it."""
    return f"{row.name}, {place}"


def is_hopeless(row: Row, place: Place) -> bool:
    """True where no mirror has the file, so that the run is over when patience is."""
    return place is Place.ALONE and row.alone.code == USELESS.code


async def play(row: Row, place: Place, folder: Path) -> Played:
    """Play one row in one place; run it as a task of its own, since its budgets are its context's."""
    if is_hopeless(row, place):
        _budgets.set(IMPATIENT)
    repo = small_repo(row.size_bytes.get(place, SIZE_BYTES), **row.files)
    played = Played(row, place, repo, _empty_scene(folder))
    async with AsyncExitStack() as stack:
        trap = await stack.enter_async_context(MirrorServer([]))
        honest = await stack.enter_async_context(honest_mirror(repo)) if place is not Place.ALONE else None
        places = {"{honest}": honest.url if honest else NOBODY, "{trap}": trap.url}
        liar = await stack.enter_async_context(await _liar(row, repo, places, stack))
        played.liar, played.liar_name = liar, _name(row, liar)
        if place is Place.ALONE:
            settings = _settings(played.scene, _mirror(row, liar))
        elif place is Place.FIRST:
            settings = _settings(played.scene, _mirror(row, liar), _plain(honest))
        else:
            settings = _settings(played.scene, _plain(honest), _mirror(row, liar))
        await _fetch(played, settings)
        played.trapped = trap.connections
    return played


def _empty_scene(folder: Path) -> Scene:
    folder.mkdir(parents=True)
    return Scene(folder)


async def honest_alone_s(folder: Path) -> float:
    """Seconds that the honest mirror needs alone, beside whatever else this loop does."""
    repo = small_repo(SIZE_BYTES)
    scene = Scene(folder)
    async with honest_mirror(repo) as honest:
        began = time.monotonic()
        report = await scene.fetch(settings=_settings(scene, _plain(honest)))
        assert report.exit_code == 0, report.results[0].error
        return time.monotonic() - began


def honest_mirror(repo: HubRepo) -> MirrorServer:
    """As fast as its line, and right."""
    return MirrorServer([repo], rate_bytes_per_s=RATE_BYTES_PER_S)


def play_table(cases: Sequence[Case], folder: Path, tell: Callable[[Played], None]) -> None:
    """Play all ``cases``; ``tell`` gets each as soon as its batch is over, in no promised order."""
    config = patch("chunkdl.pipeline.session.SchedulerConfig", lambda: SchedulerConfig(**_budgets.get()))
    certificate = patch.dict(os.environ, {"SSL_CERT_FILE": str(TLS_FILES / "loopback-test-cert.pem")})
    with config, certificate:
        asyncio.run(_play_table(cases, folder, tell))


async def _play_table(cases: Sequence[Case], folder: Path, tell: Callable[[Played], None]) -> None:
    """What mostly waits plays beside all the rest, which plays in batches that the machine can carry."""
    waiting = [case for case in cases if is_hopeless(*case) or case[0].ends(case[1]).stalls]
    names = {case_name(*case) for case in waiting}
    busy = [case for case in cases if case_name(*case) not in names]
    async with asyncio.TaskGroup() as group:
        group.create_task(_play_batch(waiting, folder / "waiting", tell))
        for start in range(0, len(busy), BATCH):
            await _play_batch(busy[start : start + BATCH], folder / str(start), tell)


async def _play_batch(cases: Sequence[Case], folder: Path, tell: Callable[[Played], None]) -> None:
    """Play ``cases`` at once, and an honest mirror alone among them."""
    if not cases:
        return
    honest_s, *played = await asyncio.gather(
        honest_alone_s(folder / "honest"),
        *(play(row, place, folder / str(number)) for number, (row, place) in enumerate(cases)),
    )
    for each in played:
        each.honest_s = honest_s
        tell(each)


async def _fetch(played: Played, settings) -> None:
    began = time.monotonic()
    try:
        played.report = await asyncio.wait_for(played.scene.fetch(settings=settings), HUNG_S)
    except TimeoutError:
        played.mishap = f"hung for {HUNG_S:g} s"
    except Exception as error:  # noqa: BLE001  whatever escapes is the finding
        played.mishap = f"raised {error!r}"
    played.wall_s = time.monotonic() - began


async def _liar(row: Row, repo: HubRepo, places: dict[str, str], stack: AsyncExitStack) -> MirrorServer:
    options = dict(row.server)
    if options.pop("cdn", False):
        options["cdn"] = await stack.enter_async_context(
            MirrorServer([repo], signed_urls=True, rate_bytes_per_s=RATE_BYTES_PER_S)
        )
    if row.encrypted:
        options["tls"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        options["tls"].load_cert_chain(TLS_FILES / "loopback-test-cert.pem", TLS_FILES / "loopback-test-key.pem")
    faults = [_located(each, places) for each in row.faults]
    return MirrorServer([repo], rate_bytes_per_s=RATE_BYTES_PER_S, faults=faults, **options)


def _located(fault, places: dict[str, str]):
    """The fault with URLs in the place of ``{honest}`` and ``{trap}``."""
    texts = {
        each.name: getattr(fault, each.name) for each in fields(fault) if isinstance(getattr(fault, each.name), str)
    }
    for mark, url in places.items():
        texts = {name: text.replace(mark, url) for name, text in texts.items()}
    return replace(fault, **texts)


def _name(row: Row, liar: MirrorServer) -> str:
    return PUBLIC_NAME if row.public else liar.url.partition("://")[2]


def _mirror(row: Row, liar: MirrorServer) -> Mirror:
    if row.public:  # the server is its own proxy: who asks there asks it
        return Mirror(f"http://{PUBLIC_NAME}", PUBLIC_NAME, proxy=liar.url)
    return replace(_plain(liar), first_byte_s=IMPATIENT_FIRST_BYTE_S) if _budgets.get() else _plain(liar)


def _plain(mirror: MirrorServer) -> Mirror:
    return Mirror(name=mirror.url.partition("://")[2], url=mirror.url)


def _settings(scene: Scene, origin: Mirror, *mirrors: Mirror):
    return replace(scene.settings(origin), origin=replace(origin, is_origin=True), mirrors=mirrors)


def as_listed(played: Played) -> dict[str, bytes | SeededContent]:
    """The files as the row's own listing has them, where that is the truth."""
    repo = played.repo
    for each in played.row.faults:
        repo = each.view(repo)
    return dict(repo.files)
