import asyncio

from hub_stage import FILES, NOW, ORIGIN, REPO, Answer, Hubs, known, mirror, refused, settings

from chunkdl.errors import ConnectFailed
from chunkdl.identify.authority import ask_mirrors, identify
from chunkdl.identify.references import parse_reference
from chunkdl.model import Mirror, MirrorKind
from chunkdl.testing import HubRepo
from tests.support.peers import turns_until

A = mirror("a")
OLD = HubRepo("org/name", {**FILES, "config.json": b"{ }"}, last_modified="2023-01-01T00:00:00.000Z")


def cover(tmp_path, hub, *, reference="org/name", asked=A, pauses=None):
    """What becomes of one mirror; ``hub`` is its answer, or a list of one a try."""
    of = settings(tmp_path)
    found = asyncio.run(
        identify(parse_reference(reference), settings=of, client=Hubs({ORIGIN: REPO}), known=known(of), now=NOW)
    )
    turns = hub if isinstance(hub, list) else [hub]
    hubs = Hubs({A.url: turns[0]})
    waited = [] if pauses is None else pauses

    async def sleep(pause_s):
        waited.append(pause_s)
        hubs.hubs[A.url] = turns[min(len(waited), len(turns) - 1)]

    seen = []
    asyncio.run(ask_mirrors(found.artifact, [asked], client=hubs, settings=of, on_mirror=seen.append, sleep=sleep))
    [coverage] = seen
    return coverage, hubs


def test_a_mirror_is_asked_for_the_commit_and_not_for_its_main(tmp_path):
    coverage, hubs = cover(tmp_path, REPO)
    assert (coverage.mirror, coverage.has_commit, coverage.lag) == (A, True, None)
    assert hubs.asked == [("a", f"/api/models/org/name/tree/{REPO.commit}?recursive=true&expand=false")]


def test_a_lagging_one_serves_what_it_proves(tmp_path):
    for reference in ("org/name", f"org/name@{REPO.commit}"):
        coverage, _ = cover(tmp_path / reference.replace("/", ""), OLD, reference=reference)
        assert not coverage.has_commit
        assert set(coverage.elsewhere) == {"model.safetensors", "run.py"}
        assert coverage.lag == f"has commit {OLD.commit[:12]} of 2023-01-01"


def test_one_with_other_contents_of_the_commit_is_not_asked_for_those(tmp_path):
    liar = HubRepo("org/name", {**FILES, "config.json": b"evil"}, commit=REPO.commit)
    coverage, _ = cover(tmp_path, liar)
    assert coverage.has_commit
    assert coverage.refused == {"config.json"}


def test_one_without_the_repository_says_so(tmp_path):
    pauses = []
    coverage, _ = cover(tmp_path, refused(404, "RepoNotFound"), pauses=pauses)
    assert not coverage.useful
    assert "knows no model" in coverage.lag
    assert pauses == []


def test_one_that_fails_is_asked_again_and_comes_back_into_a_long_run(tmp_path):
    pauses = []
    coverage, _ = cover(tmp_path, [ConnectFailed("a: reset"), refused(503), REPO], pauses=pauses)
    assert coverage.has_commit
    assert pauses == [1.0, 4.0]
    pauses = []
    coverage, _ = cover(tmp_path, [*[ConnectFailed("a: refused")] * 60, REPO], pauses=pauses)
    assert coverage.has_commit
    assert sum(pauses) > 3000, "away for most of an hour, and seldom asked"
    assert max(pauses) == 60.0


def test_one_that_answers_nonsense_is_listened_to_three_times(tmp_path):
    pauses = []
    coverage, _ = cover(tmp_path, Answer(body=b"<html>"), pauses=pauses)
    assert coverage.silent
    assert pauses == [1.0, 4.0]


def test_one_that_never_answers_is_given_up_in_the_end(tmp_path):
    pauses = []
    coverage, _ = cover(tmp_path, ConnectFailed("a: reset"), pauses=pauses)
    assert coverage.lag == "not used: a: reset"
    assert coverage.silent
    assert 80_000 < sum(pauses) < 90_000, "a day"


def test_those_who_are_away_keep_nobody_else_from_being_asked(tmp_path):
    """Eight are asked at once; ten that wait for their next chance take no place."""
    of = settings(tmp_path)
    away = [mirror(f"away{number}") for number in range(10)]
    hubs = Hubs({ORIGIN: REPO, "https://late.example": REPO} | {each.url: ConnectFailed("away") for each in away})
    seen = []

    async def run():
        found = await identify(parse_reference("org/name"), settings=of, client=hubs, known=known(of), now=NOW)
        never = asyncio.Event()
        asking = asyncio.create_task(
            ask_mirrors(
                found.artifact,
                [*away, mirror("late")],
                client=hubs,
                settings=of,
                on_mirror=seen.append,
                sleep=lambda _: never.wait(),
            )
        )
        await turns_until(lambda: seen)
        asking.cancel()
        await asyncio.wait([asking])

    asyncio.run(run())
    assert seen[0].mirror.name == "late"
    assert all(each.silent for each in seen[1:])
    assert len(seen) == 11


def test_one_that_refuses_for_good_is_asked_once(tmp_path):
    coverage, hubs = cover(tmp_path, refused(403))
    assert "403" in coverage.lag
    assert len(hubs.asked) == 1


def test_a_static_folder_is_judged_by_digests_alone(tmp_path):
    folder = Mirror(A.url, "a", MirrorKind.STATIC)
    coverage, hubs = cover(tmp_path, REPO, asked=folder)
    assert coverage.has_commit
    assert hubs.asked == []


def test_one_slow_mirror_does_not_hold_up_another(tmp_path):
    of = settings(tmp_path, metadata_s=0.02)
    hubs = Hubs({ORIGIN: REPO, A.url: None, "https://b.example": REPO})
    seen = []

    async def run():
        found = await identify(parse_reference("org/name"), settings=of, client=hubs, known=known(of), now=NOW)
        waited = asyncio.Event()

        async def sleep(_):
            waited.set()
            await asyncio.Event().wait()

        mirrors = [A, mirror("b")]
        asking = asyncio.create_task(
            ask_mirrors(found.artifact, mirrors, client=hubs, settings=of, on_mirror=seen.append, sleep=sleep)
        )
        await waited.wait()
        asking.cancel()
        await asyncio.wait([asking])

    asyncio.run(run())
    assert [(each.mirror.name, each.has_commit, each.silent) for each in seen] == [
        ("b", True, False),
        ("a", False, True),
    ]
    assert seen[1].lag == "not used: a gave no complete answer within 0.02 s"


def test_a_listing_of_many_pages_is_waited_for_while_they_come(tmp_path):
    of = settings(tmp_path, metadata_s=20.0)
    seen, late_s = [], []

    class Far(Hubs):
        """Each answer takes 12 s by the loop's clock."""

        async def get_metadata(self, url, **more):
            late_s.append(12.0)
            return await super().get_metadata(url, **more)

    async def run():
        hubs = Hubs({ORIGIN: REPO})
        found = await identify(parse_reference("org/name"), settings=of, client=hubs, known=known(of), now=NOW)
        loop = asyncio.get_running_loop()
        clock = loop.time
        loop.time = lambda: clock() + sum(late_s)
        far = Far({A.url: REPO}, pages=1)
        await ask_mirrors(found.artifact, [A], client=far, settings=of, on_mirror=seen.append)
        assert len(far.asked) == len(FILES)

    asyncio.run(run())
    assert [each.has_commit for each in seen] == [True]
