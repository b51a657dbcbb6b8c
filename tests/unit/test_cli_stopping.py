import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time

import jsonschema
import pytest
from cli_stage import REPO_ROOT, Stage, progress

from chunkdl.cli.running import run_until_stopped
from chunkdl.cli.stopping import Stopping
from chunkdl.observe import ReferencePlaced


def stops_itself(signum, *, before=()):
    async def pipeline(references, observer):
        for each in before:
            observer(each)
        os.kill(os.getpid(), signum)
        await asyncio.get_running_loop().create_future()

    return pipeline


@pytest.fixture(autouse=True)
def handlers_are_put_back():
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


class TestInTheSameProcess:
    @pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_cancels_and_says_how_to_resume(self, tmp_path, signum, code):
        stage = Stage(tmp_path, stops_itself(signum, before=[progress()]))
        assert stage.run("fetch", "-q", "a/b", "--include", "*.bin") == code
        assert stage.err == (
            "error: interrupted; 42.0 MiB is kept\nhint: resume with: chunkdl fetch -q a/b --include '*.bin'\n"
        )
        assert stage.out == ""

    def test_what_was_placed_before_is_on_stdout(self, tmp_path):
        stage = Stage(tmp_path, stops_itself(signal.SIGINT, before=[ReferencePlaced("a/1", "/1")]))
        assert stage.run("fetch", "a/1", "a/2") == 130
        assert stage.out == "/1\n"

    def test_json_is_one_object_that_tells_placed_from_interrupted(self, tmp_path):
        stage = Stage(tmp_path, stops_itself(signal.SIGTERM, before=[ReferencePlaced("a/1", "/1")]))
        assert stage.run("fetch", "a/1", "a/2", "--json") == 143
        assert [each["ok"] for each in stage.json["results"]] == [True, False]
        assert stage.json["results"][1]["error"]["code"] == "interrupted"
        assert stage.json["exit_code"] == 143

    def test_before_a_byte_has_come_nothing_is_said_to_be_kept(self, tmp_path):
        stage = Stage(tmp_path, stops_itself(signal.SIGINT, before=[progress(done=0)]))
        assert stage.run("fetch", "-q", "a/b") == 130
        assert stage.err.startswith("error: interrupted\nhint: ")

    def test_passwords_in_urls_are_not_repeated(self, tmp_path):
        stage = Stage(tmp_path, stops_itself(signal.SIGINT))
        stage.run("fetch", "a/b", "--origin", "https://me:secret@hub.example", "-q")
        assert "secret" not in stage.err

    def test_a_cancelled_run_that_was_not_asked_to_stop_is_no_silent_success(self, tmp_path):
        async def pipeline(references, observer):
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            Stage(tmp_path, pipeline).run("fetch", "a/b")


class TestWatchdog:
    def test_leaves_when_the_grace_is_over(self):
        said, left, gone = [], [], threading.Event()

        def leave(code):
            left.append(code)
            gone.set()

        with Stopping(said.append, leave, grace_s=0.01) as stopping:
            stopping.attach(lambda: None)
            os.kill(os.getpid(), signal.SIGTERM)
            assert gone.wait(5)
        assert (said, left) == ([143], [143])

    def test_a_second_signal_does_not_wait_for_the_grace(self):
        left, gone = [], threading.Event()

        def leave(code):
            left.append(code)
            gone.set()

        with Stopping(lambda _code: None, leave, grace_s=3600) as stopping:
            stopping.attach(lambda: None)
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            assert gone.wait(5)
        assert left == [130]

    def test_last_words_are_said_once(self):
        said, gone = [], threading.Event()
        with Stopping(said.append, lambda _code: gone.set(), grace_s=0.01) as stopping:
            stopping.attach(lambda: None)
            assert stopping.may_speak()
            os.kill(os.getpid(), signal.SIGINT)
            assert gone.wait(5)
        assert said == []

    def test_a_run_whose_loop_has_ended_is_left_all_the_same(self):
        left, gone = [], threading.Event()

        def leave(code):
            left.append(code)
            gone.set()

        async def work():
            return 1

        with Stopping(lambda _code: None, leave, grace_s=0.01) as stopping:
            assert run_until_stopped(work, stopping, lambda: None) == 1
            os.kill(os.getpid(), signal.SIGTERM)
            assert gone.wait(5)
        assert left == [143]

    @pytest.mark.parametrize("how", ["raise", "block"])
    def test_last_words_that_fail_or_never_end_hold_nothing_up(self, how, monkeypatch):
        left, gone, never = [], threading.Event(), threading.Event()
        monkeypatch.setattr(threading, "excepthook", lambda _told: None)

        def last_words(_code):
            if how == "raise":
                raise StopIteration
            never.wait()

        def leave(code):
            left.append(code)
            gone.set()

        with Stopping(last_words, leave, grace_s=0.01) as stopping:
            stopping.attach(lambda: None)
            os.kill(os.getpid(), signal.SIGINT)
            assert gone.wait(5)
        never.set()
        assert left == [130]

    def test_before_anything_runs_a_signal_is_a_keyboard_interrupt(self):
        with pytest.raises(KeyboardInterrupt), Stopping(lambda _code: None, lambda _code: None, grace_s=3600):
            os.kill(os.getpid(), signal.SIGINT)


ALL_PLACED = """
import asyncio, sys
from chunkdl.cli.main import main
from chunkdl.cli.surroundings import real_surroundings
from chunkdl.observe import ReferencePlaced
from dataclasses import replace

async def run_fetch(references, options, settings, observer):
    observer(ReferencePlaced("a/b", "/x"))
    print("ready", file=sys.stderr, flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

argv = ["fetch", "a/b", "-q"]
sys.exit(main(argv, replace(real_surroundings(argv), run_fetch=run_fetch)))
"""


def test_a_stop_after_the_last_was_placed_ends_it_too(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", ALL_PLACED],
        cwd=REPO_ROOT,
        env={**os.environ, "HOME": str(tmp_path), "CHUNKDL_STATE_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (143, "/x\n", "")


STUBBORN = """
import asyncio, sys, threading, time
from chunkdl.cli.main import main
from chunkdl.cli.surroundings import real_surroundings
from dataclasses import replace

async def run_fetch(references, options, settings, observer):
    print("ready", file=sys.stderr, flush=True)
    if sys.argv[1] == "thread":
        threading.Thread(target=time.sleep, args=(60,)).start()
        await asyncio.sleep(60)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

argv = ["fetch", "a/b", "--json", "-q"]
sys.exit(main(argv, replace(real_surroundings(argv), run_fetch=run_fetch)))
"""


@pytest.mark.parametrize("kind", ["deaf", "thread"])
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_will_not_end_is_left_within_a_second(tmp_path, kind, signum, code):
    schema = jsonschema.Draft202012Validator(json.loads((REPO_ROOT / "fixtures/report.schema.json").read_text()))
    environ = {**os.environ, "HOME": str(tmp_path), "CHUNKDL_STATE_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, kind],
        cwd=REPO_ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline() == "ready\n"
    process.send_signal(signum)
    sent_at = time.monotonic()
    out, err = process.communicate(timeout=30)
    # one second is promised; this machine may be busy with other tests
    assert time.monotonic() - sent_at < 3.0
    assert process.returncode == code
    report = json.loads(out)
    schema.validate(report)
    assert report["exit_code"] == code
    assert "hint: resume with: chunkdl fetch a/b --json -q" in err
    assert err.count("error:") == 1
