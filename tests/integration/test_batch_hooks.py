"""Hooks are real programs here: they hear, fail, hang, flood and leave children behind."""

import asyncio
import errno
import json
import os
import sys

import pytest

from chunkdl.batch.hooks import run_hook


@pytest.fixture
def notices():
    return []


def python(code, *words):
    return (sys.executable, "-c", code, *map(str, words))


async def test_a_hook_hears_json_on_its_standard_input(tmp_path, notices):
    heard = tmp_path / "heard"
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    values = {"event": "job-done", "job": {"name": "模型", "path": "/cache/x"}}
    await run_hook(python(code, heard), values, notices.append)
    assert json.loads(heard.read_text()) == values
    assert notices == []


async def test_words_are_words_and_no_shell_reads_them(tmp_path, notices):
    heard = tmp_path / "heard"
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    await run_hook(python(code, heard, "$(id); `id` > x"), {}, notices.append)
    assert heard.read_text() == "$(id); `id` > x"


async def test_a_failure_is_a_notice_with_the_last_line(notices):
    code = (
        "import sys; print('first', file=sys.stderr); print('no\\x1b[31m such channel', file=sys.stderr); sys.exit(3)"
    )
    await run_hook(python(code), {}, notices.append)
    (notice,) = notices
    assert notice.code == "hook-failed"
    assert notice.message.endswith("failed: exit code 3: no\\x1b[31m such channel")


@pytest.mark.parametrize("command", [("/no/such/program",), ("/",), ("chunkdl-no-such-program",)])
async def test_what_is_no_program_is_a_notice(command, notices):
    await run_hook(command, {}, notices.append)
    assert f"the hook {command[0]} failed: " in notices[0].message


async def test_where_nothing_can_be_written_down_for_it_that_is_a_notice(monkeypatch, notices):
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    await run_hook(python("pass"), {}, notices.append)
    (notice,) = notices
    assert notice.message.endswith("failed: No space left on device")


async def test_one_that_reads_nothing_and_one_that_floods_hold_nobody_up(notices):
    await run_hook(python("pass"), {"much": "x" * 3_000_000}, notices.append)
    flood = "import sys\nfor _ in range(3000): sys.stdout.write('x' * 1000); sys.stderr.write('y' * 1000)\nsys.exit(1)"
    await run_hook(python(flood), {}, notices.append)
    (notice,) = notices
    assert len(notice.message) < 400


async def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path, notices):
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    child = "import signal; signal.pause()"
    code = (
        "import os, subprocess, sys, signal\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[2]])\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}')\n"
        "signal.pause()\n"
    )
    # Read and write: neither waits for somebody at the other end.
    pipe = os.open(pids, os.O_RDWR | os.O_NONBLOCK)
    try:
        await run_hook(python(code, pids, child), {}, notices.append, limit_s=5.0)
        written = os.read(pipe, 100)
    finally:
        os.close(pipe)
    (notice,) = notices
    assert "ended after 5.0 s" in notice.message
    for pid in map(int, written.split()):
        await gone(pid)


async def gone(pid):
    """Wait until a process has ended; it may stay a zombie for as long as init likes."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(30):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


async def test_one_that_leaves_a_child_behind_is_over_when_it_is(tmp_path, notices):
    """The child keeps its streams open; a pipe would be waited for."""
    said = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
    )
    await run_hook(python(code, said), {}, notices.append, limit_s=60.0)
    assert notices == []
    os.kill(int(said.read_text()), 9)


async def test_a_run_that_is_cancelled_takes_its_hook_along(tmp_path, notices):
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    code = "import os, sys, signal; open(sys.argv[1], 'w').write(str(os.getpid())); signal.pause()"
    task = asyncio.create_task(run_hook(python(code, fifo), {}, notices.append))
    pid = int(await asyncio.get_running_loop().run_in_executor(None, fifo.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(pid)
    assert notices == []
