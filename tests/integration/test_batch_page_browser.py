"""The status page in a real browser: what a person would see, and that it changes by itself."""

import asyncio
from dataclasses import replace

import pytest

from chunkdl.batch.job import JobState
from chunkdl.batch.moment import JobMoment
from chunkdl.batch.page import serving
from chunkdl.observe import Notice
from tests.support.chromium import browser_tab
from tests.support.moments import GIB, MIB, history, host, job, moment

EVIL = "<img src=x onerror=\"document.title='owned'\">"
# Area under the points of the first path of the plot, by the shoelace formula: nothing drawn has none.
AREA = """(() => {
  const points = document.querySelector('#plot path').getAttribute('d').match(/[-\\d.]+/g).map(Number);
  let sum = 0;
  for (let at = 0; at < points.length; at += 2) {
    const x = points[(at + 2) % points.length], y = points[(at + 3) % points.length];
    sum += points[at] * y - x * points[at + 1];
  }
  return Math.abs(sum / 2);
})()"""
ROWS = "[...document.querySelectorAll('#jobs > li')]"


def text(selector):
    return f"document.querySelector({selector!r}).textContent"


@pytest.fixture
async def stage():
    """The page after ten minutes of a batch, and a tab that shows it."""
    async with serving("127.0.0.1:0") as page, browser_tab() as tab:
        for each in history(600):
            page.publish(each)
        page.publish(moment())
        await tab.resize(1100, 900)
        await tab.go(page.url)
        await tab.until(f"{ROWS}.length === 6 && document.querySelectorAll('#plot path').length === 3")
        yield page, tab
        assert tab.complaints == []


async def test_a_person_sees_the_queue_the_day_the_hosts_and_the_budgets(stage):
    _, tab = stage
    assert await tab.value(f"{ROWS}.map((row) => row.querySelector('.name').textContent)") == [
        "org/large-70b",
        "bert-base-uncased",
        "datasets/org/corpus",
        "org/diffusion-xl",
        "org/gated-model",
        "torch:resnet50",
    ]
    assert await tab.value(f"{ROWS}[0].querySelector('progress').value") == 43
    assert "8 min 26 s left" in await tab.value(f"{ROWS}[0].textContent")
    assert "answered 429" in await tab.value(f"{ROWS}[3].textContent")
    assert await tab.value(text("#goodput")) == "17.4 MiB/s"
    assert await tab.value(text("#limit")) == "20.0 MiB/s until 23:00"
    assert await tab.value(text("#opened")) == "open today 00:00 to 07:00, 22:30 to 24:00"
    assert "hf-mirror.com" in await tab.value(text("#hosts"))
    assert "5.00 GiB of 5.00 GiB today, spent" in await tab.value(text("#budgets"))
    assert await tab.value(text("#notices li")) == "today's budget is spent: lab"
    assert await tab.value("document.title") == "37% chunkdl batch"


async def test_the_mark_of_now_stands_at_its_time_within_the_open_window(stage):
    _, tab = stage
    left = await tab.value(
        "(() => { const bar = document.querySelector('#bar').getBoundingClientRect();"
        "const now = document.querySelector('#bar b').getBoundingClientRect();"
        "return (now.left + now.width / 2 - bar.left) / bar.width; })()"
    )
    assert left == pytest.approx((22 + 41 / 60) / 24, abs=0.002)
    spans = await tab.value("[...document.querySelectorAll('#bar i:not(.limit)')].map((i) => i.offsetWidth)")
    whole = await tab.value("document.querySelector('#bar').offsetWidth")
    assert [each / whole for each in spans] == [
        pytest.approx(7 / 24, abs=0.005),
        pytest.approx(1.5 / 24, abs=0.005),
    ]


async def test_the_plot_is_drawn_and_fills_with_what_came(stage):
    _, tab = stage
    width, height = await tab.value(
        "[document.querySelector('#plot').clientWidth, document.querySelector('#plot').clientHeight]"
    )
    share = await tab.value(AREA) / (width * height)
    assert 0.25 < share < 0.6  # the first mirror gives 11 of the 25 MiB/s that the plot is high
    points = await tab.value("document.querySelector('#plot path').getAttribute('d').split('L').length")
    assert points == 2 * 601
    assert "5 MiB/s" in await tab.value(text("#plot"))
    assert "10 min ago5 min agonow" in await tab.value(text("#plot"))


async def test_a_run_that_has_just_begun_fills_the_plot_too():
    async with serving("127.0.0.1:0") as page, browser_tab() as tab:
        for step in range(91):
            page.publish(moment(step))
        await tab.go(page.url)
        await tab.until("document.querySelectorAll('#plot path').length === 2")
        assert "90 s ago45 s agonow" in await tab.value(text("#plot"))
        starts = await tab.value("document.querySelector('#plot path').getAttribute('d').match(/[\\d.]+/)[0]")
        assert float(starts) == pytest.approx(68, abs=1)


async def test_numbers_change_by_themselves_and_rows_stay_the_same_rows(stage):
    page, tab = stage
    await tab.value(f"void (window.first = {ROWS}[0])")
    fewer = moment(60).jobs[:2]
    done = JobMoment(replace(fewer[1].job, state=JobState.DONE), 420 * MIB, 420 * MIB)
    page.publish(moment(60, jobs=(fewer[0], done), goodput_bytes_per_s=3.0 * MIB, hosts=(), spent=(), notices=()))
    await tab.until(f"{text('#goodput')} === '3.00 MiB/s'")
    assert await tab.value(f"{ROWS}.length") == 2
    assert await tab.value(f"{ROWS}[0] === window.first")
    assert await tab.value(f"{ROWS}[1].querySelector('.state').textContent") == "done"
    assert await tab.value(text("#clock")) == "22:42:07"
    assert await tab.value("document.querySelector('#spending').hidden")
    assert await tab.value("document.querySelector('#said').hidden")


async def test_names_from_strangers_are_text(stage):
    page, tab = stage
    hostile = JobMoment(job(f"org/{EVIL}", JobState.PARKED, reason=EVIL, hint=EVIL), GIB, 2 * GIB)
    changed = moment(1, jobs=(hostile,), hosts=(host(EVIL, (EVIL,), 5, 7.0),), spent=((EVIL, 3),))
    page.publish(replace(changed, notices=(Notice("x", EVIL),)))
    await tab.until(f"{ROWS}.length === 1")
    assert await tab.value("document.querySelectorAll('img').length") == 0
    assert EVIL in await tab.value(text("#jobs"))
    assert await tab.value(text("#notices li")) == EVIL
    assert "owned" not in await tab.value("document.title")


@pytest.mark.parametrize("width", [320, 390, 700])
async def test_a_phone_needs_no_scrolling_sideways(stage, width):
    page, tab = stage
    long = "org/" + "a-name-without-any-place-to-break-it_" * 4
    page.publish(moment(1, jobs=(*moment().jobs, JobMoment(job(long, JobState.RUNNING), GIB, 2 * GIB, 5.0 * MIB))))
    await tab.resize(width, 844, mobile=True)
    await tab.until(f"{ROWS}.length === 7 && innerWidth === {width}")
    assert await tab.value("document.documentElement.scrollWidth") == width
    assert await tab.value(f"Math.max(...{ROWS}.map((row) => row.getBoundingClientRect().right))") <= width
    assert await tab.value("document.querySelector('#plot').clientWidth") < width


async def test_it_is_dark_where_people_like_it_dark_and_readable_in_both(stage):
    _, tab = stage
    contrast = """(() => {
      const light = (colour) => {
        const [r, g, b] = colour.match(/\\d+/g).map((each) => each / 255)
          .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const card = light(getComputedStyle(document.querySelector('section')).backgroundColor);
      const lowest = ['.name', '.why', '.state', '#hosts .soft', '#notices li', 'h2', '.parked .why', '.running .state']
        .map((each) => light(getComputedStyle(document.querySelector(each)).color))
        .map((each) => (Math.max(each, card) + 0.05) / (Math.min(each, card) + 0.05));
      return [card, Math.min(...lowest)];
    })()"""
    cards = {}
    for scheme in ("light", "dark"):
        await tab.prefer(scheme)
        cards[scheme], lowest = await tab.value(contrast)
        assert lowest >= 4.5  # WCAG 2.2, 1.4.3, for text of any size
    assert cards["light"] > 0.8
    assert cards["dark"] < 0.1


async def test_everything_that_is_drawn_has_words_too(stage):
    _, tab = stage
    silent = "[...document.querySelectorAll('[role=img], progress')].filter((each) => !each.getAttribute('aria-label'))"
    assert await tab.value(f"{silent}.length") == 0
    assert await tab.value("document.documentElement.lang") == "en"
    assert "22:41:07" in await tab.value("document.querySelector('#bar').getAttribute('aria-label')")


async def test_the_end_of_the_run_is_said_and_the_last_figures_stay():
    async with browser_tab() as tab:
        async with serving("127.0.0.1:0") as page:
            page.publish(moment())
            await tab.go(page.url)
            await tab.until(f"{ROWS}.length === 6")
        await tab.until(f"{text('#link')}.startsWith('the run has ended')")
        assert await tab.value(f"{ROWS}.length") == 6


async def test_two_windows_show_the_same(stage):
    page, tab = stage
    async with browser_tab() as other:
        await other.go(page.url)
        await other.until(f"{ROWS}.length === 6")
        page.publish(moment(5, goodput_bytes_per_s=1.0 * MIB))
        await asyncio.gather(*(each.until(f"{text('#goodput')} === '1.00 MiB/s'") for each in (tab, other)))
