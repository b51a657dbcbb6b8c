import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.host_view import HostView
from chunkdl.mirrors.memory import MEMORY_FILE, load_memory
from chunkdl.mirrors.remembered import MAX_ENTRIES, Experience, Seen, Way, learn, prior
from chunkdl.model import Mirror
from chunkdl.observe import CorruptionFound
from chunkdl.pipeline.lessons import Lessons

NOW = 1_700_000_000.0
DAY_S = 86_400.0
URL = "https://m.example"
WAY = Way(URL, "cdn.example:443")


class TestArithmetic:
    def test_the_first_rate_is_taken_as_it_is(self):
        assert learn({}, [Seen(WAY, 100.0)], NOW)[WAY] == Experience(100.0, 0.0, 0.0, NOW)

    def test_an_earlier_rate_counts_half_and_less_each_day(self):
        book = learn({}, [Seen(WAY, 100.0)], NOW)
        assert learn(book, [Seen(WAY, 200.0)], NOW)[WAY].rate_bytes_per_s == 150.0
        assert learn(book, [Seen(WAY, 200.0)], NOW + DAY_S)[WAY].rate_bytes_per_s == 175.0

    def test_a_run_without_a_rate_keeps_the_old_one_and_adds_failures(self):
        book = learn(learn({}, [Seen(WAY, 100.0)], NOW), [Seen(WAY, failures=3)], NOW)
        assert book[WAY] == Experience(100.0, 3.0, 0.0, NOW)

    def test_failures_are_forgiven_within_days_lies_within_weeks(self):
        known = Experience(100.0, 8.0, 2.0, NOW)
        day = known.faded(NOW + DAY_S)
        assert (day.failures, round(day.lies, 2)) == (4.0, 1.81)
        assert known.faded(NOW + 8 * DAY_S).failures == 0
        assert known.faded(NOW + 7 * DAY_S).lies == 1.0
        assert known.faded(NOW + 60 * DAY_S).lies == 0

    def test_old_rates_say_nothing_and_old_entries_are_gone(self):
        book = learn({}, [Seen(WAY, 100.0)], NOW)
        assert prior(book, URL, "", NOW + 6 * DAY_S).rate_bytes_per_s == 100.0
        assert prior(book, URL, "", NOW + 8 * DAY_S) is None
        assert learn(book, [], NOW + 29 * DAY_S) == book
        assert learn(book, [], NOW + 31 * DAY_S) == {}

    def test_a_clock_that_went_back_is_no_reason_to_fail(self):
        book = learn({}, [Seen(WAY, 100.0, failures=1)], NOW)
        assert learn(book, [Seen(WAY, 200.0)], NOW - DAY_S)[WAY].rate_bytes_per_s == 150.0

    def test_the_newest_stay_if_there_are_too_many(self):
        book = {}
        for index in range(MAX_ENTRIES + 3):
            book = learn(book, [Seen(Way(f"https://{index}.example", "h"), 1.0)], NOW + index)
        assert len(book) == MAX_ENTRIES
        assert Way("https://2.example", "h") not in book
        assert Way("https://3.example", "h") in book

    @given(
        st.lists(
            st.tuples(st.floats(0, 1e12), st.integers(0, 1000), st.integers(0, 9), st.floats(0, 40 * DAY_S)), max_size=8
        )
    )
    def test_nothing_ever_becomes_negative_or_exceeds_what_was_seen(self, runs):
        book, now = {}, NOW
        for rate, failures, lies, passed_s in runs:
            now += passed_s
            book = learn(book, [Seen(WAY, rate, failures, lies)], now)
        for known in book.values():
            assert 0 <= known.rate_bytes_per_s <= max(rate for rate, *_ in runs) * (1 + 1e-9)
            assert 0 <= known.failures <= sum(failures for _, failures, _, _ in runs) + 1e-6
            assert 0 <= known.lies <= sum(lies for *_, lies, _ in runs) + 1e-6


class TestPrior:
    def test_is_that_of_the_host_that_served_last(self):
        book = learn({}, [Seen(Way(URL, "old.example:443"), 900.0)], NOW)
        book = learn(book, [Seen(Way(URL, "new.example:443"), 100.0)], NOW + 1)
        assert prior(book, URL, "", NOW + 2).host == "new.example:443"

    def test_belongs_to_the_proxy(self):
        book = learn({}, [Seen(Way(URL, "h", "http://p:1"), 100.0)], NOW)
        assert prior(book, URL, "", NOW) is None
        assert prior(book, URL, "http://p:1", NOW).rate_bytes_per_s == 100.0

    def test_remembers_a_lie_even_without_a_rate(self):
        book = learn({}, [Seen(WAY, lies=1)], NOW)
        assert prior(book, URL, "", NOW) == prior(book, URL, "", NOW + DAY_S)
        assert prior(book, URL, "", NOW).lied


class TestFile:
    def test_is_read_back_as_it_was_written(self, tmp_path):
        memory = load_memory(tmp_path / "state")
        memory.learn([Seen(WAY, 100.5, 2, 1)], NOW)
        again = load_memory(tmp_path / "state")
        assert again.book == memory.book == {WAY: Experience(100.5, 2.0, 1.0, NOW)}
        assert again.notices == []
        assert [each.name for each in (tmp_path / "state").iterdir()] == [MEMORY_FILE]

    def test_two_runs_that_end_together_lose_nothing(self, tmp_path):
        one, two = load_memory(tmp_path), load_memory(tmp_path)
        one.learn([Seen(WAY, 1.0)], NOW)
        two.learn([Seen(replace(WAY, mirror="https://n.example"), 2.0)], NOW)
        assert len(load_memory(tmp_path).book) == 2

    def test_nothing_seen_writes_nothing(self, tmp_path):
        load_memory(tmp_path / "state").learn([], NOW)
        assert not (tmp_path / "state").exists()

    @pytest.mark.parametrize(
        "spoilt",
        [
            b"",
            b"{",
            b"[]",
            b"\xff",
            b'{"form": 2, "ways": []}',
            b'{"form": 1}',
            b'{"form": 1, "ways": [{"mirror": 1}]}',
            b'{"form":1,"ways":[{"mirror":"a","host":"b","proxy":"","rate_bytes_per_s":NaN,"failures":0,"lies":0,"at":0}]}',
            b'{"form":1,"ways":[{"mirror":"a","host":"b","proxy":"","rate_bytes_per_s":-1,"failures":0,"lies":0,"at":0}]}',
            b"[" * 200_000,
            b" " * (2 << 20),
        ],
    )
    def test_that_is_spoilt_is_set_aside_with_a_notice_and_begun_anew(self, tmp_path, spoilt):
        (tmp_path / MEMORY_FILE).write_bytes(spoilt)
        memory = load_memory(tmp_path)
        assert memory.book == {}
        [notice] = memory.notices
        assert notice.code == "mirror-memory"
        assert "spoilt" in notice.message
        assert "\n" not in notice.message
        assert (tmp_path / f"{MEMORY_FILE}.spoilt").read_bytes() == spoilt
        memory.learn([Seen(WAY, 1.0)], NOW)
        assert load_memory(tmp_path).notices == []

    def test_a_folder_that_cannot_be_used_costs_memory_and_nothing_else(self, tmp_path):
        (tmp_path / "state").write_text("in the way")
        memory = load_memory(tmp_path / "state")
        memory.learn([Seen(WAY, 1.0)], NOW)
        assert memory.notices
        assert memory.book

    @pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
    def test_a_folder_that_others_write_to_is_not_believed(self, tmp_path, mode):
        load_memory(tmp_path / "state").learn([Seen(WAY, 1.0)], NOW)
        (tmp_path / "state").chmod(mode)
        memory = load_memory(tmp_path / "state")
        assert memory.book == {}
        assert "others may write" in memory.notices[0].message

    def test_no_password_of_a_proxy_is_kept(self, tmp_path):
        memory = load_memory(tmp_path)
        lessons = Lessons(lambda _: None, {}, lambda: NOW)
        lessons.begin(memory)
        lessons.introduce(Mirror(URL, "m", proxy="http://user:hunter2@p.example:3128"), Engine())
        lessons.keep([view("cdn.example:443", "m", bytes=5)], rates=True)
        text = (tmp_path / MEMORY_FILE).read_text()
        assert "hunter2" not in text
        assert json.loads(text)["ways"][0]["proxy"] == "http://p.example:3128"


class Engine:
    def __init__(self):
        self.added = []

    def add_mirror(self, mirror, rate_bytes_per_s, host):
        self.added.append((mirror.name, rate_bytes_per_s, host))


def view(host, *mirrors, bytes=0, errors=0, rate=50.0):  # noqa: A002
    return HostView(host, mirrors, bytes, 0.0, 0, "idle", errors, 1, connection_rate_bytes_per_s=rate)


class TestLessons:
    def lessons(self, memory, watched=None):
        made = Lessons((watched if watched is not None else []).append, {}, lambda: NOW)
        made.begin(memory)
        return made

    def test_a_run_starts_from_what_the_last_one_saw(self, tmp_path):
        first = self.lessons(load_memory(tmp_path))
        first.introduce(Mirror(URL, "m"), Engine())
        first.keep([view("cdn.example:443", "m", bytes=5, errors=1)], rates=True)
        engine = Engine()
        second = self.lessons(load_memory(tmp_path))
        mirror = second.introduce(Mirror(URL, "m"), engine)
        second.introduce(Mirror(URL, "m"), engine)
        assert engine.added == [("m", 50.0, "cdn.example:443")]
        assert mirror.priority == 0

    def test_who_lied_is_liked_less(self, tmp_path):
        watched = []
        first = self.lessons(load_memory(tmp_path), watched)
        first.introduce(Mirror(URL, "m"), Engine())
        first.watch(CorruptionFound("f", None, 0, repaired=False))
        first.watch(CorruptionFound("f", "cdn.example:443", 2, repaired=True))
        first.keep([view("cdn.example:443", "m", bytes=5)], rates=True)
        assert len(watched) == 2
        second = self.lessons(load_memory(tmp_path))
        assert second.introduce(Mirror(URL, "m", priority=3), Engine()).priority == 2

    def test_rates_under_our_own_limit_are_not_learnt(self, tmp_path):
        memory = load_memory(tmp_path)
        lessons = self.lessons(memory)
        lessons.introduce(Mirror(URL, "m"), Engine())
        lessons.keep([view("h", "m", bytes=5, errors=2)], rates=False)
        assert memory.book == {Way(URL, "h"): Experience(0.0, 2.0, 0.0, NOW)}

    def test_who_was_never_asked_is_not_remembered(self, tmp_path):
        lessons = self.lessons(load_memory(tmp_path / "state"))
        lessons.introduce(Mirror(URL, "m"), Engine())
        lessons.keep([view("h", "m"), view("g", "stranger", bytes=5)], rates=True)
        assert not (tmp_path / "state").exists()

    def test_without_a_memory_there_is_nothing_to_start_from_or_to_keep(self):
        engine = Engine()
        lessons = Lessons(lambda _: None, {}, lambda: NOW)
        lessons.introduce(Mirror(URL, "m"), engine)
        lessons.keep([view("h", "m", bytes=5)], rates=True)
        assert engine.added == [("m", 0.0, "")]
