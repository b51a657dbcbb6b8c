import sqlite3
from dataclasses import replace
from datetime import UTC

import pytest

from chunkdl.batch.clocks import overdue_by_clock
from chunkdl.batch.database import _MIGRATIONS, open_database
from chunkdl.batch.job import Circumstances, JobKind, JobState, Task, Wish, wish_of
from chunkdl.batch.outcomes import HostBytes, Outcome, PlacedFile, pause_s
from chunkdl.batch.queue import HostTraffic, Queue
from chunkdl.batch.spending import Spending, by_mirror, overspent
from chunkdl.errors import ArtifactNotFound, DiskFull, StoreBroken, StoreDenied, UsageError
from chunkdl.observe import HostStatus

BERT = Wish(Task("bert-base-uncased"))
DONE = Outcome(0, path="/cache/bert", bytes_fetched=7, hosts=(HostBytes("m:1", ("m",), 7, 0, "active"),))
LATER = Outcome(4, "no source delivered it", "try later")
NEVER = Outcome(3, "no such repository", "check the name")


@pytest.fixture
def queue(tmp_path):
    with Queue(tmp_path / "state" / "batch.sqlite") as opened:
        yield opened


def run(queue, wish, outcome, now=10.0, **how):
    attempt = queue.begin(wish.task.job_id, now)
    return queue.finish(attempt, outcome, now + 1, **how)


def test_a_wish_reads_back():
    wish = Wish(
        Task("org/name", JobKind.MIRRORS_TEST, "v1", include=("*.json",), local_dir="/models"),
        priority=3,
        deadline=1.5,
        every="0 3 * * *",
        circumstances=Circumstances(origin="https://hub.example", mirrors=(), trust="strict"),
    )
    assert wish_of(wish.as_json()) == wish


def test_the_same_task_is_the_same_job_and_another_destination_another():
    assert Task("a/b").job_id == Task("a/b").job_id
    others = [Task("a/c"), Task("a/b", revision="v1"), Task("a/b", quant="Q4_K_M"), Task("a/b", local_dir="/x")]
    assert len({Task("a/b").job_id, *(each.job_id for each in others)}) == 5


def test_adding_again_updates_urgency_and_nothing_else(queue):
    first = queue.add(BERT, 1.0)
    again = queue.add(Wish(BERT.task, priority=5, deadline=99.0), 2.0)
    assert (first.new, again.new) == (True, False)
    assert again.changed == ("priority", "deadline")
    assert queue.add(Wish(BERT.task, priority=5, deadline=99.0), 3.0).changed == ()
    (job,) = queue.jobs()
    assert (job.added_at, job.wish.priority, job.wish.deadline) == (1.0, 5, 99.0)


def test_the_most_urgent_is_first(queue):
    wishes = [
        Wish(Task("late"), deadline=90.0),
        Wish(Task("none")),
        Wish(Task("soon"), deadline=20.0),
        Wish(Task("high"), priority=1),
    ]
    for at, wish in enumerate(wishes):
        queue.add(wish, float(at))
    assert [each.wish.task.reference for each in queue.runnable(100.0)] == ["high", "soon", "late", "none"]


def test_a_job_that_is_done_keeps_what_it_brought(queue):
    queue.add(BERT, 1.0)
    file = PlacedFile("model.safetensors", 7, "sha256:" + "0" * 64, "network")
    job = run(queue, BERT, Outcome(0, path="/p", bytes_fetched=7, files=(file,), hosts=DONE.hosts))
    assert (job.state, job.path, job.ended_at, job.exit_code) == (JobState.DONE, "/p", 11.0, 0)
    assert queue.files(job.id) == (("model.safetensors", 7, file.digest, "network"),)
    (attempt,) = queue.attempts(job.id)
    assert attempt.hosts == DONE.hosts
    assert (attempt.began_at, attempt.ended_at, attempt.bytes_fetched) == (10.0, 11.0, 7)
    assert queue.add(BERT, 20.0).job.state is JobState.DONE


def test_a_transient_failure_returns_after_a_pause_that_doubles(queue):
    queue.add(BERT, 1.0)
    first = run(queue, BERT, LATER, 10.0)
    assert (first.state, first.failures, first.not_before) == (JobState.WAITING, 1, 11.0 + 60.0)
    assert queue.runnable(70.9) == ()
    second = run(queue, BERT, LATER, 80.0)
    assert second.not_before == 81.0 + 120.0
    assert run(queue, BERT, DONE, 300.0).failures == 0


def test_a_pause_is_bounded_and_spread():
    assert pause_s(1000, 0.5) == 1800.0
    assert pause_s(1, 0.0) == pytest.approx(48.0)
    assert pause_s(1, 0.999) < 72.0


def test_what_would_fail_again_is_parked_until_it_is_wished_again(queue):
    queue.add(BERT, 1.0)
    job = run(queue, BERT, NEVER)
    assert (job.state, job.reason, job.hint) == (JobState.PARKED, "no such repository", "check the name")
    assert queue.runnable(1e9) == ()
    again = queue.add(BERT, 20.0)
    assert again.changed == ("no longer parked",)
    assert (again.job.state, again.job.reason) == (JobState.WAITING, "")


def test_a_stopped_attempt_is_nobodys_fault(queue):
    queue.add(BERT, 1.0)
    run(queue, BERT, LATER, 10.0)
    job = run(queue, BERT, Outcome(None, "the window closed"), 100.0)
    assert (job.state, job.failures, job.not_before) == (JobState.WAITING, 1, 0.0)


def test_a_job_that_recurs_waits_for_its_time_done_or_not(queue):
    queue.add(BERT, 1.0)
    assert run(queue, BERT, DONE, 10.0, again_at=500.0).not_before == 500.0
    job = run(queue, BERT, NEVER, 600.0, again_at=900.0)
    assert (job.state, job.not_before, job.reason) == (JobState.WAITING, 900.0, "no such repository")


def test_an_attempt_ends_once(queue):
    queue.add(BERT, 1.0)
    attempt = queue.begin(BERT.task.job_id, 2.0)
    queue.finish(attempt, DONE, 3.0)
    job = queue.finish(attempt, NEVER, 4.0)
    assert job.state is JobState.DONE
    assert [each.exit_code for each in queue.attempts()] == [0]


def test_what_a_killed_runner_left_waits_again(queue):
    queue.add(BERT, 1.0)
    queue.begin(BERT.task.job_id, 2.0)
    path = queue.path
    queue.close()
    with Queue(path) as heir:
        assert [each.id for each in heir.recover(5.0)] == [BERT.task.job_id]
        assert [each.state for each in heir.jobs()] == [JobState.WAITING]
        (attempt,) = heir.attempts()
        assert (attempt.ended_at, attempt.exit_code, attempt.reason) == (5.0, None, "the runner was killed")
        assert run(heir, BERT, DONE).attempts == 2


def test_a_cancelled_job_neither_begins_nor_is_revived_by_its_own_end(queue):
    queue.add(BERT, 1.0)
    attempt = queue.begin(BERT.task.job_id, 2.0)
    assert queue.note_progress(BERT.task.job_id, 3, 7)
    queue.cancel(BERT.task.job_id, 3.0)
    assert not queue.note_progress(BERT.task.job_id, 4, 7)
    assert queue.finish(attempt, Outcome(None, "cancelled"), 4.0).state is JobState.CANCELLED
    assert queue.begin(BERT.task.job_id, 5.0) is None
    assert queue.retry(BERT.task.job_id, 6.0).state is JobState.WAITING


def test_jobs_are_found_by_id_and_by_reference(queue):
    queue.add(BERT, 1.0)
    queue.add(Wish(Task("bert-base-uncased", quant="Q4")), 1.0)
    assert queue.find(BERT.task.job_id[:6]).wish == BERT
    with pytest.raises(UsageError, match="2 jobs"):
        queue.find("bert-base-uncased")
    with pytest.raises(ArtifactNotFound, match="no job 'zzz'"):
        queue.find("zzz")


def test_bytes_of_a_day_and_of_a_host_add_up(queue):
    fast, slow = HostTraffic("h:1", ("a", "b"), 5, 2.0), HostTraffic("h:2", ("c",), 1, 2.0)
    queue.book("2026-11-22", 1000.0, by_mirror([fast, slow]), [fast, slow])
    queue.book("2026-11-22", 1100.0, by_mirror([fast]), [fast])
    queue.book("2026-11-23", 9000.0, {"a": 9}, [slow])
    assert queue.spent("2026-11-22") == {"a": 10, "b": 10, "c": 1}
    assert queue.traffic() == (HostTraffic("h:1", ("a", "b"), 10, 4.0), HostTraffic("h:2", ("c",), 2, 4.0))
    assert queue.traffic(since=9000.0) == (slow,)


def test_a_hosts_bytes_are_counted_once():
    spending = Spending()
    status = HostStatus("h:1", ("a",), 100, 1.0, 2, "active")
    spending.see([status], 1.0)
    spending.see([replace(status, bytes=150)], 1.0)
    spending.see([replace(status, bytes=150)], 1.0)
    assert spending.take() == (HostTraffic("h:1", ("a",), 150, 2.0),)
    assert spending.take() == ()
    assert overspent({"a": 150, "b": 10}, {"a": 150, "b": 9}) == {"a"}


def test_what_could_not_be_booked_is_in_the_next_booking():
    spending, status = Spending(), HostStatus("h:1", ("a",), 100, 1.0, 2, "active")
    spending.see([status], 1.0)
    taken = spending.take()
    spending.see([replace(status, bytes=150)], 1.0)
    spending.give_back(taken)
    assert spending.take() == (HostTraffic("h:1", ("a",), 150, 2.0),)


def test_looking_at_a_queue_writes_nothing(queue):
    before = queue.path.read_bytes(), queue.path.stat().st_mtime_ns
    holder = sqlite3.connect(queue.path)
    holder.execute("BEGIN IMMEDIATE")  # nobody else can write now, as on a disk that is full or read-only
    with Queue(queue.path) as other:
        assert other.jobs() == ()
    holder.close()
    assert (queue.path.read_bytes(), queue.path.stat().st_mtime_ns) == before


def test_a_queue_of_the_first_form_is_brought_to_this_one(tmp_path, monkeypatch):
    path = tmp_path / "batch.sqlite"
    with monkeypatch.context() as first:
        first.setattr("chunkdl.batch.database._MIGRATIONS", _MIGRATIONS[:1])
        old = open_database(path)
        job = (BERT.task.job_id, BERT.as_json(), 0, "done", 1.0)
        old.execute("INSERT INTO jobs (id, wish, priority, state, added_at) VALUES (?, ?, ?, ?, ?)", job)
        old.close()
    with Queue(path) as queue:
        assert [(each.wish, each.authenticated) for each in queue.jobs()] == [(BERT, None)]


def test_whether_an_authority_vouched_is_kept(queue):
    queue.add(BERT, 1.0)
    assert run(queue, BERT, replace(DONE, authenticated=False), again_at=20.0).authenticated is False
    assert run(queue, BERT, LATER, 30.0).authenticated is False  # of what is there still
    assert run(queue, BERT, replace(DONE, authenticated=True), 400.0).authenticated is True


def test_progress_of_unknown_size_is_not_written_and_cancelling_is_seen(queue):
    queue.add(BERT, 1.0)
    queue.begin(BERT.task.job_id, 2.0)
    queue.note_progress(BERT.task.job_id, 3, 7)
    assert queue.note_progress(BERT.task.job_id, 0, 0)
    assert queue.job(BERT.task.job_id).done_bytes == 3
    queue.cancel(BERT.task.job_id, 3.0)
    assert not queue.note_progress(BERT.task.job_id, 0, 0)


def test_a_damaged_queue_says_so_and_is_left_alone(tmp_path):
    path = tmp_path / "batch.sqlite"
    path.write_bytes(b"this is no database at all, but long enough to be looked at as one" * 40)
    with pytest.raises(StoreBroken, match="is damaged"):
        Queue(path)
    assert path.read_bytes().startswith(b"this is no database")


def test_a_queue_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "batch.sqlite"
    Queue(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreBroken, match="newer chunkdl"):
        Queue(path)


def test_a_locked_queue_is_waited_for_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr("chunkdl.batch.database._BUSY_S", 0.01)
    path = tmp_path / "batch.sqlite"
    holder = open_database(path)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBroken, match="another process has held the queue"):
        Queue(path)
    holder.close()


def test_a_full_disk_is_said_and_the_queue_stays_whole(queue):
    queue.add(BERT, 1.0)
    (pages,) = queue._database.execute("PRAGMA page_count").fetchone()
    queue._database.execute(f"PRAGMA max_page_count = {pages}")
    wishes = [Wish(Task(f"org/{'x' * 90}{number}")) for number in range(1000)]
    with pytest.raises(DiskFull, match="no space left for the queue"):
        [queue.add(wish, 2.0) for wish in wishes]
    assert queue.find("bert-base-uncased").state is JobState.WAITING


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreDenied, match="cannot be kept there"):
        Queue(tmp_path / "file" / "batch.sqlite")


@pytest.mark.parametrize(
    ("every", "failures", "not_before", "should_be"),
    [
        (None, 1, 1800.0, None),  # an honest pause
        (None, 1, 365 * 86_400.0, 0.0),  # a year ahead: at once
        ("0 3 * * *", 0, 3 * 3600.0, None),  # its next time
        ("0 3 * * *", 0, 400 * 86_400.0, 3 * 3600.0),  # beyond its next time: that
        ("0 3 * * *", 2, 400 * 86_400.0, 0.0),  # it failed and should be tried again
    ],
)
def test_times_that_a_wrong_clock_wrote_are_corrected(queue, every, failures, not_before, should_be):
    job = queue.add(Wish(Task("a/b"), every=every), 0.0, not_before=not_before).job
    job = replace(job, failures=failures)
    assert overdue_by_clock([job], 0.0, UTC) == ({} if should_be is None else {job.id: should_be})
    queue.set_times(overdue_by_clock([job], 0.0, UTC))
    assert queue.jobs()[0].not_before == (not_before if should_be is None else should_be)
