import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from chunkdl.batch.job import JobState
from chunkdl.batch.moment import JobMoment, Moment
from chunkdl.batch.page import serving
from chunkdl.batch.page.day import day_of
from chunkdl.batch.page.feed import HISTORY_S, MOST_LISTENERS, Feed
from chunkdl.batch.page.server import content_policy, page_html
from chunkdl.batch.page.view import JOBS_SHOWN, sample_of, view_of
from chunkdl.batch.policy import PolicyText, policy_of
from chunkdl.errors import UsageError
from tests.support.moments import AT, host, job, moment

BERLIN = ZoneInfo("Europe/Berlin")


def events(data):
    """Name and values of each event in a piece of the stream."""
    blocks = [each for each in data.decode("ascii").split("\n\n") if "data: " in each]
    lines = [dict(line.split(": ", 1) for line in each.splitlines()) for each in blocks]
    return [(each["event"], json.loads(each["data"])) for each in lines]


# -- what is shown -------------------------------------------------------------------------------


def test_what_runs_is_first_and_everything_has_words():
    view = view_of(moment())
    assert [each["state"] for each in view["jobs"]] == ["running", "running", "waiting", "waiting", "parked", "done"]
    large, _, corpus, xl, gated, done = view["jobs"]
    assert (large["name"], large["percent"], large["rate"]) == ("org/large-70b", 43, "16.0 MiB/s")
    assert large["eta"] == "8 min 26 s left"
    assert corpus["size"] == ""
    assert xl["why"].startswith("again at 22:44, failed 2 times; no source delivered")
    assert gated["why"].endswith(f"then: chunkdl batch add {gated['id']} --again")
    assert (done["percent"], done["rate"], done["eta"]) == (100, "", "")
    assert view["counts"] == "2 running, 2 waiting, 1 parked, 1 done"
    assert view["limit"] == "20.0 MiB/s until 23:00"
    assert view["window"] == "the window is open until Wed 07:00, 8 h 18 min more"
    assert view["total"]["text"] == "7.31 GiB of 19.5 GiB"
    assert view["caps"] == ["hf-mirror.com: at most 12.0 MiB/s"]
    assert [(each["name"], each["spent"]) for each in view["budgets"]] == [("hf-mirror.com", False), ("lab", True)]
    assert view["notices"][0] == "today's budget is spent: lab"


def test_it_is_json_of_plain_values_and_bounded():
    many = tuple(JobMoment(job(f"org/{at}", JobState.WAITING), 0, 0) for at in range(JOBS_SHOWN + 7))
    view = view_of(moment(jobs=many))
    assert json.loads(json.dumps(view)) == view
    assert len(view["jobs"]) == JOBS_SHOWN
    assert view["more"] == 7


def test_an_empty_queue_without_windows_is_shown():
    nothing = Moment(AT, open=True, changes_at=None, policy=policy_of(PolicyText(), UTC), limit_bytes_per_s=0.0,
                     goodput_bytes_per_s=0.0)  # fmt: skip
    view = view_of(nothing)
    assert view["jobs"] == view["hosts"] == view["budgets"] == []
    assert view["limit"] == "none"
    assert view["day"]["open"] == [[0.0, 1.0]]
    assert view["day"]["label"] == "open all day"
    assert sample_of(nothing) == {}


def test_a_job_of_which_more_came_than_was_planned_is_not_beyond_its_end():
    over = JobMoment(job("org/a", JobState.RUNNING), 150, 100, 10.0)
    (shown,) = view_of(moment(jobs=(over,)))["jobs"]
    assert shown["percent"] == 100
    assert shown["eta"] == "0.0 s left"


def test_the_day_has_its_windows_limits_and_now():
    day = day_of(moment())
    assert day["open"] == [[0.0, round(7 / 24, 5)], [round(22.5 / 24, 5), 1.0]]
    assert day["limits"] == [[round(8 / 24, 5), round(23 / 24, 5), "20.0 MiB/s"]]
    assert day["now"] == round((22 + 41 / 60 + 7 / 3600) / 24, 5)
    assert day["label"] == "open today 00:00 to 07:00, 22:30 to 24:00"
    assert (day["date"], day["clock"], day["zone"]) == ("Tuesday 24 November 2026", "22:41:07", "Asia/Shanghai")
    assert [tick[1] for tick in day["ticks"]] == ["00:00", "06:00", "12:00", "18:00", "24:00"]


@pytest.mark.parametrize(("month", "date", "hours"), [(3, 29, 23), (10, 25, 25)])
def test_a_day_is_as_long_as_it_is_where_the_clock_is_changed(month, date, hours):
    policy = policy_of(PolicyText(windows=("06:00-12:00",), time_zone="Europe/Berlin"), UTC)
    at = datetime(2026, month, date, 12, tzinfo=BERLIN).timestamp()
    day = day_of(replace(moment(), at=at, policy=policy))
    six, noon = (hours - 18) / hours, (hours - 12) / hours
    assert day["open"] == [[round(six, 5), round(noon, 5)]]
    assert day["now"] == round(noon, 5)
    assert [round(six, 5), "06:00"] in day["ticks"]


def test_a_day_that_is_closed_is_called_so():
    policy = policy_of(PolicyText(windows=("Sun 06:00-12:00",), time_zone="UTC"), UTC)
    assert day_of(replace(moment(), policy=policy))["label"] == "closed all day"


# -- who listens ---------------------------------------------------------------------------------


async def test_a_listener_hears_history_then_the_latest_then_each():
    feed = Feed()
    for step in range(3):
        feed.publish(moment(step))
    listener = feed.join()
    (first, history), (second, latest) = events(await listener.take(1))
    assert (first, second) == ("history", "moment")
    assert [at - AT for at, _ in history["samples"]] == [0, 1, 2]
    assert latest["at"] == AT + 2
    feed.publish(moment(3))
    ((_, now),) = events(await listener.take(1))
    assert now["at"] == AT + 3
    assert now["rates"]["cdn-lfs.hf-mirror.com:443"] == int(11.2 * (1 << 20))


async def test_history_is_ten_minutes_and_forgets_what_a_clock_that_was_set_back_told():
    feed = Feed()
    for step in range(0, 1300, 2):
        feed.publish(moment(step))
    ((_, history),) = events(await feed.join().take(1))[:1]
    assert history["samples"][0][0] == AT + 1298 - HISTORY_S
    feed.publish(moment(0))
    ((_, history),) = events(await feed.join().take(1))[:1]
    assert [at for at, _ in history["samples"]] == [AT]


async def test_one_who_does_not_listen_costs_a_few_messages_and_hears_the_latest():
    feed = Feed()
    listener = feed.join()
    await listener.take(1)
    for step in range(500):
        feed.publish(moment(step))
    told = [values["at"] - AT for _, values in events(await listener.take(1))]
    assert told == [496, 497, 498, 499]


async def test_listeners_are_bounded_and_places_come_free():
    feed = Feed()
    listeners = [feed.join() for _ in range(MOST_LISTENERS)]
    assert feed.join() is None
    feed.leave(listeners[0])
    assert feed.join() is not None


async def test_silence_is_broken_by_a_comment():
    feed = Feed()
    listener = feed.join()
    await listener.take(1)
    assert (await listener.take(0.01)).startswith(b":")


# -- over HTTP -----------------------------------------------------------------------------------


@pytest.fixture
async def page():
    async with serving("127.0.0.1:0") as served:
        served.publish(moment())
        yield served


@pytest.fixture
async def client():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
        yield session


async def test_the_page_needs_nothing_else_and_may_do_nothing_else(page, client):
    async with client.get(page.url) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        policy = answer.headers["Content-Security-Policy"]
        assert await answer.read() == page_html()
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    text = page_html().decode()
    assert "innerHTML" not in text
    assert "https://" not in text
    assert text.count("http://") == 1  # the name of the SVG namespace
    assert " style=" not in text  # the policy would refuse it


async def test_head_is_answered_without_a_body_and_nothing_can_be_changed(page, client):
    async with client.head(page.url) as answer:
        assert answer.status == 200
        assert await answer.read() == b""
    async with client.head(f"{page.url}events") as answer:
        assert answer.content_type == "text/event-stream"
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        async with client.request(method, page.url) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "GET, HEAD"
    async with client.get(f"{page.url}etc/passwd") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8650", "", "127.0.0.1.evil.example"])
@pytest.mark.parametrize("path", ["", "events"])
async def test_a_name_that_is_not_this_machines_is_refused(page, client, name, path):
    async with client.get(f"{page.url}{path}", headers={"Host": name}) as answer:
        assert answer.status == 421
        assert "org/large" not in await answer.text()


async def test_a_strangers_page_takes_no_place(page, client):
    async with client.get(f"{page.url}events", headers={"Sec-Fetch-Site": "cross-site"}) as answer:
        assert answer.status == 403


async def test_events_come_until_the_run_ends(client):
    async with serving("localhost:0") as served:
        served.publish(moment())
        answer = await client.get(f"{served.url}events")
        assert answer.headers["Cache-Control"] == "no-store"
        data = await read_until(answer, b"event: moment")
        assert b"retry: 3000" in data
        served.publish(moment(1))
        await read_until(answer, b"event: moment")
    assert b"event: end" in await read_until(answer, b"event: end")
    assert await answer.content.read() == b"\n\n" or answer.content.at_eof()
    answer.close()


async def read_until(answer, mark):
    data = b""
    async with asyncio.timeout(30):
        while mark not in data or not data.endswith(b"\n\n"):
            data += await answer.content.readany()
    return data


async def test_too_many_listeners_are_sent_away_and_a_place_comes_free(page, client):
    answers = [await client.get(f"{page.url}events") for _ in range(MOST_LISTENERS)]
    async with client.get(f"{page.url}events") as refused:
        assert refused.status == 503
        assert refused.headers["Retry-After"] == "10"
    answers[0].close()
    status = 503
    async with asyncio.timeout(30):
        while status == 503:  # that somebody left is noticed when something is sent
            page.publish(moment(1))
            again = await client.get(f"{page.url}events")
            status = again.status
            again.close()
    for each in answers[1:]:
        each.close()


@pytest.mark.parametrize("listen", ["here", "127.0.0.1", "127.0.0.1:99999", "300.1.1.1:80"])
async def test_an_address_that_is_none_is_said_by_its_flag(listen):
    with pytest.raises(UsageError) as caught:
        async with serving(listen):
            pass
    assert "--http" in f"{caught.value.message} {caught.value.hint}"


async def test_a_port_that_is_taken_is_said(page):
    taken = page.url.removeprefix("http://").removesuffix("/")
    with pytest.raises(UsageError, match="cannot listen"):
        async with serving(taken):
            pass


def test_the_policy_is_about_what_is_in_the_page():
    assert content_policy().count("'sha256-") == 2


async def test_hosts_of_whom_nothing_came_are_no_sample():
    quiet = moment(hosts=(host("a", ("m",), 5, 0.0), host("b", ("m",), 9, 12.5)))
    assert sample_of(quiet) == {"b": 12}
