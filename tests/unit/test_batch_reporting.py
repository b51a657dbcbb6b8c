import random
from datetime import UTC, datetime

import pytest

from chunkdl.batch.job import JobState, Task, Wish
from chunkdl.batch.outcomes import HostBytes, Outcome, PlacedFile
from chunkdl.batch.policy import PolicyText, policy_of
from chunkdl.batch.queue import HostTraffic, Queue
from chunkdl.batch.report_markdown import markdown
from chunkdl.batch.reporting import balance_of, by_mirror, goodput, report_values
from chunkdl.batch.status import Situation, counts_line, fields, in_order, row, values_of, why, window_line
from chunkdl.spelling import spell_bytes

MIB = 1 << 20
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC).timestamp()
BEGAN = NOW - 8 * 3600
POLICY = policy_of(PolicyText(windows=("22:00-07:00",), time_zone="UTC", bwlimit="08:00,1M 23:00,off"), UTC)


def good(size, fetched):
    files = (PlacedFile("config.json", 570, "git-sha1:" + "b" * 40, "network"),)
    files += (PlacedFile("model.safetensors", size - 570, "sha256:" + "a" * 64, "network"),)
    return Outcome(0, path=f"/cache/{size}", bytes_fetched=fetched, bytes_wasted=fetched // 100, files=files)


@pytest.fixture
def queue(tmp_path):
    with Queue(tmp_path / "batch.sqlite") as opened:
        yield opened


def attempt(queue, name, outcome, at, took_s=600):
    wish = Wish(Task(name))
    queue.add(wish, BEGAN)
    number = queue.begin(wish.task.job_id, at - took_s)
    return queue.finish(number, outcome, at)


def balance(queue, since=BEGAN, until=NOW):
    attempts = queue.attempts(since=since)
    files = {each.job_id: queue.files(each.job_id) for each in attempts}
    return balance_of((since, until), queue.jobs(), attempts, queue.traffic(since), files)


@pytest.fixture
def night(queue):
    """One came at the second try, one came at once, one is parked, one comes again later, one waits."""
    attempt(queue, "org/twice", Outcome(4, "no source delivered it", "later", bytes_fetched=30 * MIB), BEGAN + 1000)
    attempt(queue, "org/once", good(200 * MIB, 200 * MIB), BEGAN + 3000)
    queue.retry(Task("org/twice").job_id, BEGAN + 2000)
    attempt(queue, "org/twice", good(100 * MIB, 70 * MIB), BEGAN + 2000)
    attempt(queue, "org/gated", Outcome(3, "org/gated is gated", "accept the licence"), BEGAN + 100)
    attempt(queue, "org/flaky", Outcome(4, "hf-mirror.com answered 503", bytes_fetched=MIB), BEGAN + 200)
    queue.add(Wish(Task("org/next"), deadline=NOW + 3600), NOW)
    hosts = [HostTraffic("cdn:443", ("a", "b"), 250 * MIB, 25.0), HostTraffic("hub:443", ("hub",), 61 * MIB, 61.0)]
    queue.book("2026-11-21", BEGAN + 1800, {}, hosts)
    return queue


def test_what_came_failed_and_waits_is_told_apart(night):
    found = balance(night)
    assert [each.job.name for each in found.came] == ["org/twice", "org/once"]
    assert [(each.files, each.size, each.bytes_fetched) for each in found.came] == [
        (2, 100 * MIB, 100 * MIB),
        (2, 200 * MIB, 200 * MIB),
    ]
    assert [(each.job.name, each.exit_code, each.times) for each in found.troubles] == [
        ("org/gated", 3, 1),
        ("org/flaky", 4, 1),
    ]
    assert {each.name for each in found.waiting} == {"org/next", "org/flaky"}


def test_sums_add_up(night):
    values = report_values(balance(night))
    totals = values["totals"]
    assert totals["bytes"] == sum(each["bytes"] for each in values["came"]) == 300 * MIB
    assert totals["bytes_received"] == sum(each["bytes"] for each in values["hosts"]) == 311 * MIB
    assert totals["bytes_fetched"] == 301 * MIB
    assert totals["bytes_received"] == totals["bytes_fetched"] + totals["bytes_elsewhere"]
    assert totals["jobs"] == len(values["came"])
    assert sum(count for _, count in by_mirror(night.traffic(BEGAN))) == totals["bytes_received"]


def test_sums_add_up_whatever_happened(queue):
    rng = random.Random(11)
    for number in range(60):
        outcome = rng.choice([good(rng.randrange(1000, 10**9), rng.randrange(10**9)), Outcome(4, bytes_fetched=5)])
        attempt(queue, f"org/{number}", outcome, BEGAN + rng.randrange(28_000))
        traffic = HostTraffic(f"host{rng.randrange(5)}", ("m",), rng.randrange(10**9), rng.random())
        queue.book("2026-11-21", BEGAN + rng.randrange(28_000), {}, [traffic])
    for since in (BEGAN, BEGAN + 10_000, NOW):
        values = report_values(balance(queue, since))
        totals = values["totals"]
        assert totals["bytes"] == sum(each["bytes"] for each in values["came"])
        assert totals["bytes_received"] == sum(each["bytes"] for each in values["hosts"])
        assert totals["bytes_received"] == totals["bytes_fetched"] + totals["bytes_elsewhere"]


def test_only_what_ended_in_the_time_counts(night):
    later = balance(night, since=BEGAN + 2500)
    assert [each.job.name for each in later.came] == ["org/once"]
    assert later.troubles == ()


def test_a_job_that_was_stopped_by_the_window_did_not_fail(queue):
    attempt(queue, "org/large", Outcome(None, "the window closed", bytes_fetched=MIB), BEGAN + 5)
    found = balance(queue)
    assert found.troubles == ()
    assert found.fetched == MIB


def test_the_markdown_says_it_all(night):
    text = "\n".join(markdown(balance(night), Situation(NOW, POLICY)))
    assert text.startswith("# chunkdl batch, 2026-11-21 22:00 to 2026-11-22 06:00 (UTC)\n")
    assert "2 jobs came, 300 MiB in place; 311 MiB received; 2.70 MiB of it in vain; 2 failed; 2 to come." in text
    assert "| 2026-11-21 22:33 | org/twice | 2 | 100 MiB | 100 MiB | `/cache/104857600` |" in text
    assert "|  | **together** | 4 | 300 MiB | 300 MiB |  |" in text
    assert "| cdn:443 | a, b | 250 MiB | 10.0 MiB/s |" in text
    assert "| **together** |  | 311 MiB |  |" in text
    assert "Attempts that ended account for 301 MiB, killed ones and those under way for 10.0 MiB." in text
    gated = Task("org/gated").job_id
    assert f"org/gated is gated | accept the licence; then `chunkdl batch add {gated} --again` |" in text
    assert "| org/next | waiting | - | deadline: 07:00 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = {line.count("|") for line in rows if line.startswith("| 2026")}
    assert widths == {7, 6}


def test_a_name_from_a_stranger_breaks_no_table_and_is_no_markup(queue):
    evil = "no source | [click](http://evil) <img src=x> `x` *bold*\n| forged | row |"
    attempt(queue, "org/a", Outcome(3, evil), BEGAN + 5)
    lines = markdown(balance(queue), Situation(NOW, POLICY))
    (row_,) = [line for line in lines if "no source" in line]
    assert row_.replace("\\|", "").count("|") == 6
    assert r"\[click\]" in row_
    assert r"\<img" in row_
    assert "forged" in row_


def test_nothing_is_a_report_too(queue):
    lines = markdown(balance(queue), Situation(NOW, POLICY))
    assert lines[2] == "0 jobs came, 0 B in place; 0 B received; nothing waits."
    assert len(lines) == 3


def test_what_began_before_is_told_as_such(queue):
    attempt(queue, "org/a", good(MIB, 9 * MIB), NOW - 5)
    lines = markdown(balance(queue, since=NOW - 60), Situation(NOW, POLICY))
    assert not any("## Who gave it" in line for line in lines)
    queue.book("2026-11-22", NOW - 30, {}, [HostTraffic("cdn", ("m",), 2 * MIB, 0.0)])
    lines = markdown(balance(queue, since=NOW - 60), Situation(NOW, POLICY))
    assert any("account for 9.00 MiB, 7.00 MiB of it from before." in line for line in lines)


def test_goodput_is_while_something_came():
    assert goodput(HostTraffic("h", (), 100, 4.0)) == 25.0
    assert goodput(HostTraffic("h", (), 100, 0.0)) == 0.0


# -- status --------------------------------------------------------------------------------------


def test_why_a_job_does_not_go_on(night):
    night.retry(Task("org/twice").job_id, NOW + 7200)
    jobs = {each.name: each for each in night.jobs()}
    noon = Situation(NOW + 6 * 3600, POLICY)
    flaky = attempt(night, "org/flaky", Outcome(4, "hf-mirror.com answered 503"), NOW)
    assert why(flaky, Situation(NOW, POLICY)).startswith("again at 06:0")
    assert "failed 2 times; hf-mirror.com answered 503" in why(flaky, Situation(NOW, POLICY))
    assert why(jobs["org/twice"], Situation(NOW, POLICY)) == "due at 08:00"
    assert why(jobs["org/gated"], noon) == "org/gated is gated"
    assert why(jobs["org/next"], noon) == "from 22:00 on; deadline missed: 07:00"
    assert why(jobs["org/once"], noon) == "at Sat 22:50: /cache/209715200"
    assert why(night.cancel(jobs["org/next"].id, NOW), noon) == "at 06:00"


def test_a_recurring_job_that_failed_says_so_until_its_next_time(queue):
    queue.add(Wish(Task("org/weekly"), every="0 8 * * *"), BEGAN)
    number = queue.begin(Task("org/weekly").job_id, BEGAN)
    failed = queue.finish(number, Outcome(3, "org/weekly is gone"), NOW, again_at=NOW + 7200)
    assert why(failed, Situation(NOW, POLICY)) == "due at 08:00; failed: org/weekly is gone"
    revived = queue.retry(failed.id, NOW + 7200)
    assert why(revived, Situation(NOW, POLICY)) == "due at 08:00"


def test_what_only_mirrors_vouched_for_is_marked_in_the_report(queue):
    queue.add(Wish(Task("org/lone")), BEGAN)
    queue.finish(queue.begin(Task("org/lone").job_id, BEGAN), Outcome(0, path="/p", authenticated=False), BEGAN + 60)
    balance = balance_of((BEGAN, NOW), queue.jobs(), queue.attempts(), (), {})
    assert "| org/lone, not authenticated |" in "\n".join(markdown(balance, Situation(NOW, POLICY)))
    assert report_values(balance)["came"][0]["authenticated"] is False


def test_jobs_are_told_by_state_and_in_every_column(night):
    night.begin(Task("org/next").job_id, NOW)
    jobs = in_order(night.jobs())
    assert [each.state for each in jobs] == ["running", "waiting", "parked", "done", "done"]
    assert counts_line(jobs) == "1 running, 1 waiting, 1 parked, 2 done"
    assert counts_line([]) == "the queue is empty"
    for each in jobs:
        assert len(row(each, Situation(NOW, POLICY))) == 5
        assert len(fields(each)) == 11
        assert values_of(each)["id"] == each.id
        assert all("\t" not in cell and "\n" not in cell for cell in fields(each))


def test_the_window_is_told_with_the_clock_it_goes_by():
    assert window_line(Situation(NOW, POLICY)) == "the window is open until 07:00, 1 h 00 min more; no limit (UTC)"
    later = Situation(NOW + 4 * 3600, POLICY)
    assert window_line(later) == "the window opens at 22:00, in 12 h 00 min; limit 1.00 MiB/s (UTC)"
    assert window_line(Situation(NOW, policy_of(PolicyText(), UTC))) == "bytes may flow at any time; no limit (UTC)"


def test_progress_of_a_job_is_bounded_by_its_size(night):
    number = night.begin(Task("org/next").job_id, NOW)
    assert number is not None
    night.note_progress(Task("org/next").job_id, 50 * MIB, 200 * MIB)
    (job,) = [each for each in night.jobs() if each.state is JobState.RUNNING]
    assert row(job, Situation(NOW, POLICY))[3] == f"50.0 MiB of {spell_bytes(200 * MIB)} (25%)"


def test_hosts_of_an_attempt_are_no_traffic_of_the_time(queue):
    outcome = Outcome(0, hosts=(HostBytes("cdn", ("m",), 5, 0, "active"),), bytes_fetched=5)
    attempt(queue, "org/a", outcome, BEGAN + 5)
    assert balance(queue).received == 0
    assert balance(queue).elsewhere == -5
