"""Statistics, comparison and ranking of mirrors: pure, so every figure here was written down by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.identify.answers import RepoInfo
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.identify.vouching import Candidate
from chunkdl.mirrors.evaluation import Bounds
from chunkdl.mirrors.figures import figures, lessons
from chunkdl.mirrors.holding import Holding, days_between, held, lag_in_words
from chunkdl.mirrors.measures import Exchange, Sample, Trial, count_wrong, median, percentile, steady_rate
from chunkdl.mirrors.probe import spread
from chunkdl.mirrors.ranking import effective_rate, rank
from chunkdl.mirrors.remembered import Seen, Way
from chunkdl.model import (
    Artifact,
    Authority,
    AuthorityKind,
    Digest,
    DigestAlgorithm,
    Mirror,
    Reference,
    RemoteFile,
)

MIB = 1 << 20
OLD, NEW = "1" * 40, "2" * 40
REFERENCE = Reference("org/name", "org/name")


def file(path, digit, size=100):
    return RemoteFile(path, size, Digest(DigestAlgorithm.SHA256, digit * 64))


FILES = (file("config.json", "a", 10), file("model.safetensors", "b", 980), file("README.md", "c", 10))
ARTIFACT = Artifact(REFERENCE, "org/name", NEW, FILES, Authority(AuthorityKind.ORIGIN, "o", authenticated=True))
FULL = Holding("org/name", has_repo=True, heard=True, commit=NEW, same_commit=True, has_commit=True, share=1.0)


def mirror(name, **changes):
    return Mirror(f"https://{name}.example", name, **changes)


def told(files, commit=OLD, modified="2024-01-01T00:00:00.000Z"):
    return Candidate(mirror("m"), RepoInfo("org/name", commit, modified), tuple(files))


def failed(error):
    return Exchange(0.0, 1.0, error=error)


def exchange(rate, *, size=4 * MIB, ranged=True, host="h:443", began=0.0, head=""):
    """``size`` bytes that come evenly at ``rate`` from a tenth of a second after ``began``."""
    start, seconds = began + 0.1, size / rate
    marks = tuple((start + seconds * step / 8, size * step // 8) for step in range(1, 9))
    return Exchange(began, start + seconds, start, size, marks, ranged=ranged, host=host, head=head)


def trial(name, rate, *, holding=FULL, failures=0, rounds=3, wrong=0, **how):
    samples = []
    how.setdefault("host", f"{name}:443")
    for number in range(rounds):
        bad = (failed("HTTP 503"),) * failures
        samples.append(Sample(number, "sha256:b", 0, (exchange(rate / 2, **how),)))
        pair = (exchange(rate / 2, **how), exchange(rate / 2, **how))
        samples.append(Sample(number, "sha256:b", 9, (*pair, *bad), several=True))
    return Trial(mirror(name), (holding,), tuple(samples), wrong)


def dead(name):
    return Trial(mirror(name), (Holding("org/name", note=f"{name}: refused"),))


class TestStatistics:
    def test_the_median_is_the_middle(self):
        assert median([3.0]) == 3.0
        assert median([9.0, 1.0, 3.0]) == 3.0
        assert median([4.0, 1.0, 3.0, 2.0]) == 2.5

    def test_percentiles_are_values_that_occurred(self):
        values = [float(each) for each in range(1, 21)]
        assert (percentile(values, 95), percentile(values, 50), percentile(values, 100)) == (19.0, 10.0, 20.0)
        assert percentile([7.0], 95) == 7.0

    @given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0.1, 100))
    def test_a_percentile_leaves_no_more_than_its_share_above(self, values, percent):
        at = percentile(values, percent)
        assert at in values
        assert sum(each > at for each in values) <= len(values) * (1 - percent / 100) + 1e-6

    def test_what_waited_in_buffers_is_not_timed(self):
        """A quarter comes at once, the rest at 1 MiB/s."""
        marks = [(0.0, MIB), (1.0, 2 * MIB), (2.0, 3 * MIB), (3.0, 4 * MIB)]
        assert steady_rate(marks, 0.0, 3.0) == MIB

    def test_one_mark_is_timed_from_the_answer(self):
        assert steady_rate([(2.0, MIB)], 0.0, 2.0) == MIB / 2
        assert steady_rate([], 0.0, 2.0) == 0.0

    def test_connections_add_up_and_failures_count_as_nothing(self):
        sample = Sample(0, "c", 0, (exchange(MIB), exchange(MIB), failed("reset")))
        assert sample.goodput == pytest.approx(2 * MIB)
        assert Sample(0, "c", 0, (failed("reset"),)).goodput == 0.0

    def test_a_bad_round_is_no_verdict(self):
        good = trial("m", 8 * MIB)
        slow = Sample(3, "c", 0, (exchange(1000, size=1000),))
        assert replace(good, samples=(*good.samples, slow)).goodput(several=False) == pytest.approx(4 * MIB)

    def test_time_to_the_first_byte(self):
        samples = tuple(Sample(0, "c", 0, (exchange(MIB, began=at),)) for at in (0.0, 5.0))
        middle, late = Trial(mirror("m"), (FULL,), samples).ttfb_s
        assert (middle, late) == (pytest.approx(0.1), pytest.approx(0.1))
        assert dead("m").ttfb_s == (None, None)

    def test_failure_rate_of_what_was_tried(self):
        assert trial("m", MIB, failures=1).failure_rate == pytest.approx(0.25)
        assert dead("m").failure_rate == 1.0
        assert Trial(mirror("m"), (FULL,)).failure_rate == 0.0

    def test_wrong_bytes_are_counted_against_the_origin_alone(self):
        def with_head(name, *heads):
            samples = (Sample(i, "sha256:b", i, (exchange(MIB, head=head),)) for i, head in enumerate(heads))
            return Trial(mirror(name), (FULL,), tuple(samples))

        origin = with_head("o", "x", "y", "z")
        assert count_wrong(with_head("m", "x", "q", "z"), origin) == 1
        assert count_wrong(with_head("m", "x", "", "z"), origin) == 0
        assert count_wrong(with_head("m", "q"), None) == 0
        assert count_wrong(origin, origin) == 0


class TestSpread:
    @given(st.integers(1, 1 << 40), st.integers(1, 1 << 30), st.integers(1, 16), st.floats(0, 1, exclude_max=True))
    def test_lies_inside_the_content_and_within_the_budget(self, size, total, connections, at):
        ranges = spread(size, total, connections, at)
        assert 1 <= len(ranges) <= connections
        assert ranges[0].start >= 0
        assert ranges[-1].stop <= size
        assert sum(map(len, ranges)) == min(size, total)
        assert all(one.stop == other.start for one, other in pairwise(ranges))


class TestHolding:
    def test_the_same_commit_and_files_have_no_lag(self):
        same = held(ARTIFACT, told(FILES, NEW))
        assert (same.same_commit, same.has_commit, same.share, same.identical) == (True, True, 1.0, 3)
        assert lag_in_words(same, "2024-01-01T00:00:00.000Z") is None

    def test_files_are_compared_by_digest_and_the_lag_by_date(self):
        lagging = held(ARTIFACT, told([FILES[0], file("model.safetensors", "9", 980)]))
        assert (lagging.identical, lagging.different, lagging.absent) == (1, 1, 1)
        assert lagging.share == pytest.approx(0.01)
        assert lag_in_words(lagging, "2024-01-08T00:00:00.000Z") == (
            "7 days behind, its revision is 111111111111 of 2024-01-01: 1 of 3 files identical, 1 different, 1 absent"
        )

    def test_one_that_has_the_commit_beside_its_own_serves_all_of_it(self):
        both = held(ARTIFACT, told([FILES[0]]), told(FILES, NEW))
        assert both.share == 1.0
        assert both.coverage.has_commit
        assert lag_in_words(both, "").endswith("the commit itself is there")

    def test_of_a_commit_beside_its_own_only_what_it_lists_alike_counts(self):
        both = held(ARTIFACT, told([FILES[0]]), told([*FILES[::2], file("model.safetensors", "9", 980)], NEW))
        assert both.share == pytest.approx(0.02)
        assert both.coverage.refused == {"model.safetensors"}
        assert lag_in_words(both, "").endswith("; the commit itself is there with 2 of 3 files identical")

    def test_the_same_commit_with_other_files_is_said(self):
        liar = held(ARTIFACT, told([FILES[0], file("model.safetensors", "9", 980), FILES[2]], NEW))
        assert lag_in_words(liar, "") == "same commit, other files: 2 of 3 files identical, 1 different, 0 absent"
        assert liar.share == pytest.approx(0.02)

    @pytest.mark.parametrize(
        ("there", "here", "said"),
        [
            ("2024-01-01", "2024-01-02", "1 day behind"),
            ("2024-01-03T00:00:00Z", "2024-01-01T00:00:00Z", "2 days ahead"),
            ("2024-01-01T00:00:00Z", "2024-01-01T05:00:00Z", "less than a day apart"),
            ("soon", "2024-01-01", "another commit"),
            ("", "2024-01-01", "another commit"),
        ],
    )
    def test_dates_may_be_anything(self, there, here, said):
        lagging = held(ARTIFACT, told([], modified=there))
        assert lag_in_words(lagging, here).startswith(said)

    def test_days(self):
        assert days_between("2024-01-01T00:00:00.000Z", "2024-01-02T12:00:00.000Z") == 1.5
        assert days_between("x", "y") is None

    def test_of_an_unknown_mirror_there_is_no_lag_to_tell(self):
        assert lag_in_words(Holding("org/name"), "2024-01-01") is None


class TestRanking:
    def names(self, *trials):
        return [each.trial.mirror.name for each in rank(trials)]

    def reason(self, name, *trials):
        return next(each.reason for each in rank(trials) if each.trial.mirror.name == name)

    def test_the_faster_is_better_and_the_reason_has_numbers(self):
        slow, fast = trial("slow", 2 * MIB), trial("fast", 8 * MIB)
        assert self.names(slow, fast) == ["fast", "slow"]
        assert self.reason("fast", slow, fast) == "fastest: 8.00 MiB/s over up to 2 connections"
        assert "4.0 times slower than fast" in self.reason("slow", slow, fast)

    def test_equals_stay_in_order_and_are_called_equal(self):
        one, two = trial("one", 8 * MIB), trial("two", 7.9 * MIB)
        assert self.names(one, two) == ["one", "two"]
        assert "as fast as one" in self.reason("two", one, two)

    def test_a_fast_mirror_that_fails_often_is_worse_than_a_steady_one(self):
        flaky = trial("flaky", 8 * MIB, failures=5)
        assert self.names(flaky, trial("steady", 6 * MIB)) == ["steady", "flaky"]
        assert "15 of 24 requests failed (HTTP 503)" in self.reason("flaky", flaky)

    def test_a_fast_mirror_of_another_commit_brings_nothing(self):
        lagging = trial("lagging", 80 * MIB, holding=held(ARTIFACT, told([file("x", "f")])))
        assert self.names(lagging, trial("slow", MIB)) == ["slow", "lagging"]
        assert "holds next to nothing of this commit" in self.reason("lagging", lagging)
        assert "times slower" not in self.reason("lagging", lagging, trial("slow", MIB))

    def test_one_that_lacks_a_readme_is_nearly_as_good(self):
        lacking = trial("lacking", 8 * MIB, holding=held(ARTIFACT, told(FILES[:2])))
        assert self.names(lacking, trial("slow", 4 * MIB)) == ["lacking", "slow"]
        assert "holds 99% of the bytes" in self.reason("lacking", lacking)

    def test_the_order_of_troubles(self):
        absent = Trial(mirror("absent"), (Holding("org/name", has_repo=False, heard=True, note="absent: not there"),))
        trials = [
            dead("dead"),
            trial("liar", 90 * MIB, wrong=2),
            absent,
            trial("other", 90 * MIB, holding=replace(FULL, share=0.0)),
            trial("streams", 90 * MIB, ranged=False),
            trial("good", MIB),
        ]
        assert self.names(*trials) == ["good", "streams", "other", "absent", "liar", "dead"]
        assert self.reason("dead", *trials) == "unreachable: dead: refused"
        assert self.reason("absent", *trials) == "delivered nothing: absent: not there"
        assert "gave wrong bytes in 2 ranges" in self.reason("liar", *trials)
        assert "one stream at most" in self.reason("streams", *trials)

    def test_two_urls_of_one_data_host_are_told(self):
        one, two = trial("one", 8 * MIB, host="cdn:443"), trial("two", 8 * MIB, host="cdn:443")
        assert "same host as those of one" in self.reason("two", one, two)

    @given(st.lists(st.tuples(st.floats(1e3, 1e9), st.integers(0, 3), st.booleans()), max_size=6))
    def test_ranks_are_a_permutation_and_rates_fall_within_a_class(self, plans):
        trials = [
            trial(f"m{i}", rate, failures=failures, ranged=ranged) for i, (rate, failures, ranged) in enumerate(plans)
        ]
        ranked = rank(trials)
        assert [each.rank for each in ranked] == list(range(1, len(trials) + 1))
        assert {each.trial.mirror.name for each in ranked} == {each.mirror.name for each in trials}
        for ranged in (True, False):
            rates = [effective_rate(each.trial) for each in ranked if each.trial.ranges is ranged]
            assert rates == sorted(rates, reverse=True)
        assert all(each.reason for each in ranked)

    def test_nobody_to_rank_is_no_mistake(self):
        assert rank([]) == ()


class TestFigures:
    def test_have_the_keys_that_scripts_rely_on(self):
        [best] = rank([trial("m", 8 * MIB)])
        shown = figures(best, "")
        keys = ["rank", "url", "final_host", "reachable", "ttfb_ms", "goodput_1", "goodput_n", "failure_rate"]
        assert list(shown)[:11] == [*keys, "commit", "lag", "reason"]
        assert shown["ttfb_ms"] == {"median": 100.0, "p95": 100.0}
        assert shown["goodput_1"] == pytest.approx(4 * MIB)
        assert shown["goodput_n"] == pytest.approx(8 * MIB)
        assert (shown["commit"], shown["lag"], shown["final_host"]) == (NEW, None, "m:443")
        assert len(shown["rounds"]) == 3

    def test_of_a_dead_mirror_are_null_and_not_zero(self):
        [worst] = rank([dead("dead")])
        shown = figures(worst, "")
        assert shown["reachable"] is False
        assert shown["failure_rate"] == 1.0
        assert [shown[key] for key in ("final_host", "goodput_1", "goodput_n", "commit", "lag", "tls")] == [None] * 6
        assert shown["ttfb_ms"] == {"median": None, "p95": None}

    def test_of_a_lagging_one_say_how_much(self):
        lagging = held(ARTIFACT, told(FILES[:2]))
        [only] = rank([trial("m", MIB, holding=lagging)])
        shown = figures(only, "2024-01-31T00:00:00.000Z")
        assert shown["lag"].startswith("30 days behind")
        assert shown["repos"][0]["lag_days"] == 30.0
        assert shown["repos"][0]["files"] == {"identical": 2, "different": 0, "absent": 1}

    def test_what_is_worth_remembering_is_the_rate_of_one_connection(self):
        seen = lessons([trial("m", 8 * MIB, failures=1), dead("d")], lambda _: "http://p:1")
        assert seen == [Seen(Way("https://m.example", "m:443", "http://p:1"), pytest.approx(4 * MIB), 3, 0)]


def test_bounds_default_to_what_the_command_says():
    assert (Bounds().rounds, Bounds().max_bytes, Bounds().max_time_s) == (3, 64 * MIB, 120.0)
    assert MirrorCoverage(mirror("m"), has_commit=True).useful
