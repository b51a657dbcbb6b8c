import json
import plistlib
import sqlite3
from datetime import UTC, datetime

import jsonschema
import pytest
from cli_stage import REPO_ROOT, Stage

from chunkdl.batch import database
from chunkdl.batch.job import JobState, Task
from chunkdl.batch.outcomes import HostBytes, Outcome, PlacedFile
from chunkdl.batch.queue import QUEUE_FILE, HostTraffic, Queue
from chunkdl.cli import batch_status
from chunkdl.cli.batch import batch
from chunkdl.cli.main import main
from chunkdl.cli.surroundings import Surroundings
from tests.support.cli_terminal import OutputOfAPerson

MANIFEST = """
[batch]
windows = ["Mon-Fri 22:30-07:00"]
time_zone = "Asia/Shanghai"

[[model]]
ref = "bert-base-uncased"
priority = 5

[[model]]
ref = "org/name"
quant = "Q4_K_M"
local_dir = "models/name"

[[mirrors_test]]
every = "30 2 * * Sun"
"""
BERT, OTHER = Task("bert-base-uncased"), Task("org/other")


@pytest.fixture
def run(tmp_path):
    def go(*argv, code=0, terminal=False, environ=()):
        stage = Stage(tmp_path, environ={"TZ": "UTC", **dict(environ)})
        if terminal:
            stage.stdout = OutputOfAPerson(stage.stdout)
        assert stage.run("batch", *argv) == code, stage.err
        return stage

    return go


@pytest.fixture
def queue(tmp_path):
    with Queue(tmp_path / "state" / QUEUE_FILE) as opened:
        yield opened


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "night.toml"
    path.write_text(MANIFEST)
    return path


def check(name, answer):
    schema = json.loads((REPO_ROOT / "fixtures" / f"batch-{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(answer)
    return answer


def end(queue, task, outcome, at=1000.0):
    return queue.finish(queue.begin(task.job_id, at), outcome, at + 60)


def rows(stage):
    return [line.split("\t") for line in stage.out.splitlines()]


# -- add -----------------------------------------------------------------------------------------


def test_a_manifest_is_queued_once_however_often_it_is_added(run, manifest, queue, tmp_path):
    first = run("add", str(manifest))
    assert [row[1:] for row in rows(first)] == [
        ["bert-base-uncased", "new"],
        ["org/name", "new"],
        ["mirrors test", "new"],
    ]
    assert "3 new, 0 changed, 0 as before" in first.err
    again = run("add", str(manifest))
    assert {row[2] for row in rows(again)} == {"as before"}
    manifest.write_text(MANIFEST.replace("priority = 5", "priority = 7"))
    changed = run("add", str(manifest))
    assert [row[2] for row in rows(changed)] == ["changed: priority", "as before", "as before"]
    jobs = {each.name: each for each in queue.jobs()}
    assert len(jobs) == 3
    assert jobs["bert-base-uncased"].wish.priority == 7
    assert jobs["org/name"].wish.task.local_dir == str((tmp_path / "models/name").resolve())


def test_the_policy_of_a_manifest_is_kept_until_another_says_something(run, manifest, queue, tmp_path):
    run("add", str(manifest))
    silent = tmp_path / "silent.toml"
    silent.write_text('[[model]]\nref = "org/x"\n')
    run("add", str(silent))
    assert json.loads(queue.policy())["path"] == str(manifest)
    other = tmp_path / "other.toml"
    other.write_text('[batch]\nbwlimit = "1M"\n')
    assert "no longer those of" in run("add", str(other)).err
    assert json.loads(queue.policy())["policy"]["bwlimit"] == "1M"
    other.write_text('[[model]]\nref = "org/x"\n')
    run("add", str(other))
    assert json.loads(queue.policy())["policy"]["bwlimit"] is None


def test_references_have_the_selection_of_fetch(run, queue, tmp_path):
    run(
        "add", "org/name@v1", "datasets/org/corpus", "--include", "*.json", "--exclude", "x*",
        "--format", "safetensors", "--variant", "fp16", "--priority", "3",
        "--deadline", "2030-01-02 07:00", "--every", "0 3 * * *",
        "--cache-dir", str(tmp_path / "cache"),
    )  # fmt: skip
    first, second = queue.jobs()
    assert (first.name, second.name) == ("org/name@v1", "datasets/org/corpus")
    assert second.wish.priority == 3
    assert second.wish.deadline == datetime(2030, 1, 2, 7, tzinfo=UTC).timestamp()
    assert second.wish.every == "0 3 * * *"
    task = second.wish.task
    assert (task.include, task.exclude, task.format, task.variant) == (("*.json",), ("x*",), "safetensors", "fp16")
    assert task.cache_dir == str(tmp_path / "cache")


def test_the_usual_cache_is_looked_up_when_the_job_runs(run, queue, tmp_path):
    run("add", "org/name", environ={"HF_HUB_CACHE": str(tmp_path / "hub")})
    config = tmp_path / "config" / "chunkdl"
    config.mkdir(parents=True)
    (config / "chunkdl.toml").write_text('cache_dir = "/srv/hub"\n')
    run("add", "org/name")
    (job,) = queue.jobs()
    assert job.wish.task == Task("org/name")


def test_a_deadline_is_by_the_clock_of_the_batch(run, manifest, queue):
    run("add", str(manifest))
    run("add", "org/x", "--deadline", "2030-01-02")
    (job,) = [each for each in queue.jobs() if each.name == "org/x"]
    assert job.wish.deadline == datetime(2030, 1, 1, 16, tzinfo=UTC).timestamp()


def test_what_is_not_typed_stays_as_it_was(run, queue):
    run("add", "org/x", "--priority", "4", "--deadline", "2030-01-02", "--every", "0 3 * * *")
    assert rows(run("add", "org/x"))[0][2] == "as before"
    assert rows(run("add", "org/x", "--priority", "5"))[0][2] == "changed: priority"
    (job,) = queue.jobs()
    assert (job.wish.priority, job.wish.every) == (5, "0 3 * * *")
    assert job.wish.deadline == datetime(2030, 1, 2, tzinfo=UTC).timestamp()


def test_what_ended_goes_again_when_asked(run, queue):
    run("add", "org/other", "--quant", "Q8_0")
    task = Task("org/other", quant="Q8_0")
    end(queue, task, Outcome(0, path="/x"))
    assert "done already; --again" in run("add", "org/other", "--quant", "Q8_0").err
    assert queue.jobs()[0].state is JobState.DONE
    assert rows(run("add", task.job_id, "--again"))[0][1:] == ["org/other", "changed: again"]
    (job,) = queue.jobs()
    assert (job.state, job.wish.task) == (JobState.WAITING, task)
    end(queue, task, Outcome(4, "later"))
    assert queue.jobs()[0].not_before > 0
    run("add", "org/other", "--again")  # by name, with the selection that it has
    (job,) = queue.jobs()
    assert job.failures == 0
    run("add", "org/other", "--again", "--quant", "Q4_K_M")
    assert len(queue.jobs()) == 2


def test_what_is_parked_goes_again_when_it_is_added(run, queue):
    run("add", "org/other")
    end(queue, OTHER, Outcome(3, "no such repository"))
    assert rows(run("add", "org/other"))[0][2] == "changed: no longer parked"
    assert queue.jobs()[0].state is JobState.WAITING


def test_a_done_job_that_is_to_recur_comes_back_at_its_time(run, queue):
    run("add", "org/other")
    end(queue, OTHER, Outcome(0, path="/x"))
    run("add", "org/other", "--every", "0 3 1 1 *")
    (job,) = queue.jobs()
    assert job.state is JobState.WAITING
    assert datetime.fromtimestamp(job.not_before, UTC).strftime("%m-%d %H:%M") == "01-01 03:00"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "needs a MANIFEST.toml or a REF"),
        (("absent.toml",), "there is no such manifest"),
        (("a/b/c/d",), "is no repository id"),
        (("org/a", "org/b", "--local-dir", "x"), "--local-dir takes one REF"),
        (("org/a", "--deadline", "soon"), "--deadline: 'soon' is no date and time"),
        (("org/a", "--every", "sometimes"), "no cron expression"),
        (("org/a", "--priority", "5000"), "5000 is not in the range"),
        (("ms:org/a",), "no place for ModelScope's names"),
        (("torch:no_such_net",), "no_such_net"),
        (("org/a", "--format", "zip"), "'zip' is not one of"),
    ],
)
def test_a_mistake_queues_nothing(run, tmp_path, argv, said):
    code = 3 if "torch:no_such_net" in argv else 2
    assert said in run("add", "org/good", *argv, code=code).err if argv else run("add", code=2).err
    assert rows(run("status"))[1:] == []


def test_a_mistake_in_a_manifest_is_named_by_its_line_and_queues_nothing(run, manifest):
    manifest.write_text(MANIFEST.replace("priority = 5", "prioritty = 5"))
    stage = run("add", str(manifest), "org/x", code=2)
    assert f"{manifest}:8: unknown key 'prioritty'" in stage.err
    assert "did you mean priority?" in stage.err
    manifest.write_text(MANIFEST.replace("Shanghai", "Shanghay"))
    assert "there is no time zone 'Asia/Shanghay'" in run("add", str(manifest), code=2).err
    assert rows(run("status"))[1:] == []


def test_options_beside_a_manifest_alone_mean_nothing(run, manifest):
    assert "a manifest says itself" in run("add", str(manifest), "--quant", "x", code=2).err


def test_a_file_that_is_no_manifest_is_no_reference_either(run, manifest, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    manifest.rename(tmp_path / "night.tml")
    assert "is a file here" in run("add", "night.tml", code=2).err


def test_adding_as_json(run, manifest):
    found = check("add", run("add", str(manifest), "--json").json)
    assert [each["new"] for each in found["jobs"]] == [True, True, True]
    assert found["jobs"][1]["task"]["quant"] == "Q4_K_M"
    assert check("add", run("add", "a/b/c/d", "--json", code=2).json)["jobs"] == []


def test_a_projects_wishes_are_stored_with_the_job_which_runs_elsewhere(tmp_path, queue):
    project = tmp_path / "checkout"
    project.mkdir()
    (project / "chunkdl.toml").write_text('revision = "v2"\ninclude = ["*.json"]\ncache_dir = "hub"\n')
    stage = Stage(tmp_path)
    environ = {name: value for name, value in stage.environ.items() if name != "HF_HOME"}  # which would go first
    around = Surroundings((), environ, stage.stdout, stage.stderr, folder=project)
    assert main(("batch", "add", "org/name"), around) == 0
    (job,) = queue.jobs()
    assert job.wish.task == Task("org/name", revision="v2", include=("*.json",), cache_dir=str(project / "hub"))
    assert "is obeyed: revision, include, cache_dir" in stage.err


# -- status --------------------------------------------------------------------------------------


def test_an_empty_queue_is_said_and_not_made(run, tmp_path):
    stage = run("status")
    assert len(rows(stage)) == 1
    assert "the queue is empty: chunkdl batch add REF... queues" in stage.err
    assert not (tmp_path / "state").exists()


def test_a_person_gets_a_table_and_a_pipe_gets_tabs(run, queue):
    run("add", "bert-base-uncased", "org/other")
    end(queue, OTHER, Outcome(3, "org/other is gated", "accept the licence"))
    table = run("status", terminal=True)
    assert table.out.splitlines()[0].split() == ["ID", "NAME", "STATE", "PROGRESS", "WHY"]
    assert table.out.splitlines()[2].endswith("parked   -         org/other is gated")
    assert "1 waiting, 1 parked" in table.err
    assert "chunkdl batch add JOB --again" in table.err
    lines = rows(run("status"))
    assert lines[0][:4] == ["id", "name", "state", "done_bytes"]
    assert [line[:3] for line in lines[1:]] == [
        [BERT.job_id, "bert-base-uncased", "waiting"],
        [OTHER.job_id, "org/other", "parked"],
    ]
    assert run("status", "-q").err == ""


def test_the_status_as_json(run, manifest, queue):
    run("add", str(manifest))
    queue.begin(BERT.job_id, 5.0)
    found = check("status", run("status", "--json").json)
    assert [each["state"] for each in found["jobs"]] == ["running", "waiting", "waiting"]
    assert found["policy"]["windows"] == ["Mon-Fri 22:30-07:00"]
    assert found["policy"]["time_zone"] == "Asia/Shanghai"
    assert found["jobs"][2]["every"] == "30 2 * * Sun"


def test_the_settings_file_says_what_no_manifest_does(run, tmp_path):
    config = tmp_path / "config" / "chunkdl"
    config.mkdir(parents=True)
    (config / "chunkdl.toml").write_text('[batch]\nbwlimit = "2M"\n')
    assert run("status", "--json").json["policy"]["limit_bytes_per_s"] == 2 << 20
    (config / "chunkdl.toml").write_text('[batch]\nbwlimit = "2X"\n')
    assert "chunkdl.toml:2: batch.bwlimit: not a rate" in run("status", code=2).err


def test_a_manifest_that_is_gone_leaves_its_policy_with_a_notice(run, manifest):
    run("add", str(manifest))
    manifest.unlink()
    stage = run("status", "--json")
    assert stage.json["policy"]["windows"] == ["Mon-Fri 22:30-07:00"]
    assert stage.json["notices"][0]["code"] == "policy-kept"


def test_watching_is_for_people(run):
    assert "--watch and --json exclude each other" in run("status", "--watch", "--json", code=2).err


async def test_watching_shows_each_change_until_nobody_reads(run, queue, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_status, "_WATCH_S", 0.0)
    run("add", "bert-base-uncased")
    seen = []

    class Reader:
        def isatty(self):
            return False

        def write(self, data):
            seen.append(data.decode())
            if len(seen) == 1:
                queue.begin(BERT.job_id, 5.0)
            else:
                raise BrokenPipeError

        def flush(self):
            pass

        def fileno(self):
            raise OSError

    stage = Stage(tmp_path, environ={"TZ": "UTC"})
    await batch_status._watch(batch_status_around(stage, Reader()))
    assert "1 waiting; bytes may flow at any time" in seen[0]
    assert "1 running" in seen[1]


def batch_status_around(stage, stdout):
    return Surroundings((), stage.environ, stdout, stage.stderr)


def test_a_screen_has_as_many_lines_as_the_terminal(run, tmp_path, monkeypatch):
    run("add", *(f"org/{'n' * 60}{at}" for at in range(40)))
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "12")
    stage = Stage(tmp_path, environ={"TZ": "UTC"})
    screen = batch_status._screen(batch_status_around(stage, OutputOfAPerson(stage.stdout)))
    lines = screen.replace("\x1b[H", "").replace("\x1b[K", "").replace("\x1b[J", "").splitlines()
    assert len(lines) <= 11
    assert max(map(len, lines)) <= 60
    assert lines[-1].startswith("and 3")


# -- log, cancel ---------------------------------------------------------------------------------


@pytest.fixture
def history(run, queue):
    run("add", "bert-base-uncased", "org/other", "--exclude", "*.onnx")
    task = Task("bert-base-uncased", exclude=("*.onnx",))
    hosts = (HostBytes("cdn:443", ("hf-mirror.com",), 5 << 20, 2, "active"),)
    end(queue, task, Outcome(4, "no source delivered it", "later", bytes_fetched=5 << 20, hosts=hosts))
    file = PlacedFile("model.safetensors", 420 << 20, "sha256:" + "a" * 64, "network")
    queue.retry(task.job_id, 2000.0)
    end(queue, task, Outcome(0, path="/cache/bert", bytes_fetched=415 << 20, hosts=hosts, files=(file,)), 2000.0)
    return task


def test_the_log_has_attempts_hosts_and_files(run, history):
    text = run("log", "bert-base-uncased").out
    assert f"bert-base-uncased  {history.job_id}\n  done, priority 0" in text
    assert "  exclude: *.onnx\n" in text
    assert "attempt 1: 1970-01-01 00:16, 1 min 00 s: exit code 4: no source delivered it; 5.00 MiB fetched" in text
    assert "  cdn:443 (hf-mirror.com): 5.00 MiB, 2 errors, active\n" in text
    assert "attempt 2: 1970-01-01 00:33, 1 min 00 s: done; 415 MiB fetched" in text
    assert f"placed: 1 file, 420 MiB\n  model.safetensors  420 MiB  sha256:{'a' * 64}  from the network" in text


def test_the_log_as_json(run, history, queue):
    queue.begin(Task("org/other", exclude=("*.onnx",)).job_id, 5.0)
    found = check("log", run("log", history.job_id[:6], "--json").json)
    assert [each["exit_code"] for each in found["attempts"]] == [4, 0]
    assert found["files"][0]["path"] == "model.safetensors"
    running = check("log", run("log", "org/other", "--json").json)
    assert running["attempts"][0]["ended_at"] is None
    assert "under way" in run("log", "org/other").out


@pytest.mark.parametrize("command", ["log", "cancel"])
def test_a_job_that_is_not_there_ends_with_3(run, command, history):
    stage = run(command, "org/nothing", "--json", code=3)
    check(command, stage.json)
    assert "no job 'org/nothing' in the queue" in stage.err
    assert "chunkdl batch status lists them" in stage.err


@pytest.mark.parametrize("command", ["log", "cancel"])
def test_where_nothing_was_ever_queued_that_is_said(run, command):
    assert "nothing was ever queued" in run(command, "x", code=3).err


def test_a_name_that_may_be_several_is_refused(run):
    run("add", "org/x")
    run("add", "org/x", "--quant", "Q8_0")
    assert "may be 2 jobs" in run("cancel", "org/x", code=2).err


def test_cancelling_is_all_or_nothing_and_harmless_twice(run, history, queue):
    assert run("cancel", "org/other", "org/nothing", code=3).out == ""
    assert {each.state for each in queue.jobs()} == {JobState.WAITING, JobState.DONE}
    other = Task("org/other", exclude=("*.onnx",))
    queue.begin(other.job_id, 5.0)
    stage = run("cancel", "org/other", "bert-base-uncased")
    assert rows(stage) == [[other.job_id, "org/other", "cancelled"]]
    assert "it stops within seconds" in stage.err
    assert "is done already" in stage.err
    assert check("cancel", run("cancel", "org/other", "--json").json)["cancelled"] == []


# -- report --------------------------------------------------------------------------------------


def test_the_report_is_markdown_and_json(run, history, queue):
    queue.book("1970-01-01", 2000.0, {}, [HostTraffic("cdn:443", ("hf-mirror.com",), 420 << 20, 42.0)])
    text = run("report", "--since", "1971-01-02").out
    assert text.startswith("# chunkdl batch, 1971-01-02 00:00 to ")
    assert "0 jobs came" in text
    found = check("report", run("report", "--since", "99999w", "--json").json)
    assert found["totals"]["bytes_received"] == found["totals"]["bytes_fetched"] == 420 << 20
    assert found["hosts"][0]["goodput_bytes_per_s"] == 10 << 20
    assert found["came"][0]["bytes"] == 420 << 20
    assert [each["name"] for each in found["waiting"]] == ["org/other"]


def test_a_report_of_nothing_and_one_since_nonsense(run):
    assert "nothing waits" in run("report").out
    assert check("report", run("report", "--json").json)["came"] == []
    stage = run("report", "--since", "soonish", "--json", code=2)
    assert check("report", stage.json)["totals"] is None
    assert "write yesterday, today" in stage.err


# -- the queue's own troubles --------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["status"], ["add", "org/x"], ["log", "x"], ["cancel", "x"], ["report"], ["timer"]]
)
def test_a_damaged_queue_ends_with_6(run, tmp_path, command):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / QUEUE_FILE).write_bytes(b"this is no database, and long enough to be sure of that" * 40)
    stage = run(*command, code=6)
    assert "the queue is damaged" in stage.err
    assert "move the file away" in stage.err


def test_a_queue_that_somebody_holds_ends_with_6(run, tmp_path, monkeypatch):
    run("add", "org/x")
    monkeypatch.setattr(database, "_BUSY_S", 0.01)
    holder = sqlite3.connect(tmp_path / "state" / QUEUE_FILE, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    stage = run("add", "org/y", code=6)
    holder.close()
    assert "another process has held the queue" in stage.err
    assert len(rows(run("status"))) == 2


def test_a_queue_of_a_newer_version_ends_with_6(run, tmp_path):
    run("add", "org/x")
    with sqlite3.connect(tmp_path / "state" / QUEUE_FILE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert "written by a newer chunkdl" in run("status", code=6).err
    assert check("status", run("status", "--json", code=6).json)["policy"] is None


def test_a_policy_that_nobody_can_read_is_said_and_a_manifest_mends_it(run, queue, manifest):
    queue.keep_policy("[]")
    assert "the policy in it cannot be read" in run("status", code=6).err
    run("add", str(manifest))
    assert "opens at" in run("status").err or "open until" in run("status").err


# -- timer ---------------------------------------------------------------------------------------


def test_every_scheduler_is_told_how(run, manifest):
    run("add", str(manifest))
    text = run("timer").out
    assert "OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 22:30:00 Asia/Shanghai" in text
    assert "30 14 * * 1,2,3,4,5 " in text
    assert 'schtasks /Create /TN "chunkdl batch" /SC WEEKLY' in text
    cron = run("timer", "--for", "cron").out.splitlines()
    assert len(cron) == 1
    values = plistlib.loads(run("timer", "--for", "launchd", "--print").out.encode())
    assert values["StartCalendarInterval"][0] == {"Weekday": 1, "Hour": 14, "Minute": 30}
    found = check("timer", run("timer", "--json").json)
    assert sorted(found["schedulers"]) == ["cron", "launchd", "schtasks", "systemd"]


def test_units_are_written_but_nothing_is_enabled(run, manifest, tmp_path):
    run("add", str(manifest))
    stage = run("timer", "--install")
    assert stage.out.splitlines() == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now chunkdl-batch.timer",
    ]
    units = tmp_path / "config" / "systemd" / "user"
    assert sorted(each.name for each in units.iterdir()) == ["chunkdl-batch.service", "chunkdl-batch.timer"]
    service = (units / "chunkdl-batch.service").read_text()
    assert f"CHUNKDL_STATE_DIR={tmp_path / 'state'}" in service
    assert "-P -m chunkdl batch run" in service
    manifest.write_text(MANIFEST.replace("22:30", "23:15"))
    again = check("timer", run("timer", "--install", "--json").json)
    assert len(again["written"]) == 2
    assert "23:15:00" in (units / "chunkdl-batch.timer").read_text()


def test_a_unit_that_somebody_else_wrote_stays(run, tmp_path):
    units = tmp_path / "config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "chunkdl-batch.timer").write_text("[Timer]\nOnCalendar=daily\n")
    assert "was not written by chunkdl" in run("timer", "--install", code=7).err
    assert sorted(each.name for each in units.iterdir()) == ["chunkdl-batch.timer"]


def test_a_place_where_nothing_can_be_written_is_said(run, tmp_path):
    (tmp_path / "file").write_text("")
    run("timer", "--install", environ={"XDG_CONFIG_HOME": str(tmp_path / "file")}, code=6)


def test_install_is_for_systemd(run):
    assert "leave --print and --for out" in run("timer", "--install", "--for", "cron", code=2).err
    assert "leave --print and --for out" in run("timer", "--install", "--print", code=2).err


def test_no_secret_is_written(run):
    stage = run("timer", environ={"HF_TOKEN": "hf_secret"})
    assert "hf_secret" not in stage.out + stage.err
    assert "HF_TOKEN may hold a secret" in stage.err


def test_every_command_has_help_with_examples():
    for name, command in batch.commands.items():
        assert command.examples, name
        assert all(line.startswith("chunkdl batch ") for line, _ in command.examples), name
