import sys
from pathlib import Path

from chunkdl.batch import working
from chunkdl.batch.job import Circumstances, Job, JobKind, JobState, Task, Wish
from chunkdl.batch.working import Fetching, mirror_names
from chunkdl.settings import load_settings


def job(reference="", kind=JobKind.MIRRORS_TEST, **around):
    wish = Wish(Task(reference, kind), circumstances=Circumstances(**around))
    return Job("a", wish, JobState.WAITING, 0.0, total_bytes=9, done_bytes=5)


def test_a_mirror_test_is_of_the_mirrors_that_the_job_names():
    assert working.Testing(job(mirrors=("https://m.example",)), {})._command()[-1] == "--mirror=https://m.example"
    assert working.Testing(job(mirrors=()), {})._command()[-1] == "--no-mirrors"
    command = working.Testing(job("org/a"), {})._command()
    assert command[-2:] == ["--", "org/a"]
    assert not {"--no-mirrors", "--mirror"} & set(command)


async def test_no_module_of_the_current_folder_runs_in_a_mirror_test(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("open('it-ran', 'w')")
    monkeypatch.chdir(tmp_path)
    testing = working.Testing(job(), {"HOME": str(tmp_path)})
    code = "import json, os, pathlib; pathlib.Path.home().joinpath('seen').write_text(f'{json.__file__} {os.getcwd()}')"
    monkeypatch.setattr(testing, "_command", lambda: [*working.Testing(job(), {})._command()[:2], "-c", code])
    await testing.work()
    module, folder = (tmp_path / "seen").read_text().split()
    assert not module.startswith(str(tmp_path))
    assert folder == Path(sys.executable).anchor


def test_relative_folders_of_the_environment_are_those_of_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {"CHUNKDL_STATE_DIR": "state", "HF_HOME": "~/hf", "CHUNKDL_CONFIG": "/etc/chunkdl.toml", "TZ": "UTC"}
    assert working._from_anywhere(environ) == {**environ, "CHUNKDL_STATE_DIR": str(tmp_path / "state")}


def test_the_size_of_a_fetch_is_unknown_until_it_is_planned(tmp_path):
    work = Fetching(job("org/a", JobKind.FETCH), load_settings({"HOME": str(tmp_path)}))
    assert (work.planned, work.total_bytes) == (False, 0)


def test_mirrors_that_limits_may_be_about_are_those_of_settings_and_jobs(tmp_path):
    environ = {"HOME": str(tmp_path), "CHUNKDL_MIRRORS": "https://lab.example"}
    broken = job("org/b", origin="no address at all")
    names = mirror_names([broken, job("org/a", mirrors=("https://other.example",))], environ)
    assert {"lab.example", "other.example", "huggingface.co", "hf-mirror.com", "modelscope.cn"} <= names
