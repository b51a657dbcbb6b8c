"""What is said of a command line that cannot be carried out, in the shape of the command that was meant."""

import json
import os
import subprocess
import sys

import click
import jsonschema
import pytest
from cli_stage import REPO_ROOT, Stage, places, raises

from chunkdl.cli import main as command_line
from chunkdl.cli.empty_answers import EMPTY
from chunkdl.cli.refusing import _takes_json
from chunkdl.cli.surroundings import Surroundings

SCHEMAS = {
    "cache prune": "cache-rm",
    "cache verify": "cache-verify",
    "fetch": "report",
    "mirrors add": "mirrors-change",
    "mirrors remove": "mirrors-change",
    "verify": "cache-verify",
}
COMMANDS = ("fetch", *EMPTY)


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path, places(("org/a", "/x")))


def validate(path, value):
    name = SCHEMAS.get(path, path.replace(" ", "-"))
    schema = json.loads((REPO_ROOT / "fixtures" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(value)
    assert set(value) <= set(schema["properties"])


@pytest.mark.parametrize("path", COMMANDS)
def test_a_mistyped_option_is_one_object_of_the_commands_own_shape(stage, path):
    assert stage.run(*path.split(), "--no-such-option", "--json") == 2
    validate(path, stage.json)
    assert stage.json["exit_code"] == 2
    assert stage.err.count("error: ") == 1
    assert f"hint: see: chunkdl {path} --help" in stage.err


def all_commands(group, path=()):
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_no_command_that_takes_json_was_forgotten():
    taking = {path for path, command in all_commands(command_line._chunkdl) if _takes_json(command)}
    assert taking == set(COMMANDS)


@pytest.mark.parametrize("words", [("--", "tool", "--json"), ("tool", "--json")])
def test_the_words_of_another_program_are_its_own(stage, words):
    assert stage.run("run", "--limit-rate", "fast", "--offline", *words) != 1
    assert stage.out == ""


def test_a_command_without_json_prints_none(stage):
    assert stage.run("serve", "/nowhere", "--json") == 2
    assert stage.out == ""


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (("docter", "org/a"), "chunkdl doctor org/a"),
        (("mirors", "list"), "chunkdl mirrors list"),
        (("org/name", "--json"), "chunkdl fetch org/name --json"),
        (("gpt2",), "chunkdl fetch gpt2"),
        (("get", "https://h.example/f?sig=hidden"), "chunkdl fetch 'https://h.example/f?...'"),
    ],
)
def test_the_nearest_command_is_meant_and_fetch_only_if_none_is_near(stage, argv, meant):
    assert stage.run(*argv) == 2
    assert f"hint: did you mean: {meant}" in stage.err
    assert "hidden" not in stage.err


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("doctor", "doctor._examine"),
        ("mirrors export", "mirrors_export._Command._run"),
        ("cache ls", "cache_listing.settings_of"),
        ("run", "run._run"),
        ("serve", "serve.parse_listen"),
        ("demo", "demo._home"),
    ],
)
def test_a_bug_is_told_with_its_traceback_wherever_it_is(stage, monkeypatch, path, where):
    def broken(*_arguments, **_options):
        raise RuntimeError("something new")

    monkeypatch.setattr(f"chunkdl.cli.{where}", broken)
    words = {"mirrors export": ["org/a", "/nowhere"], "run": ["true"], "serve": ["/nowhere"]}.get(path, [])
    as_json = path in EMPTY
    assert stage.run(*path.split(), *words, *(["--json"] if as_json else [])) == 1
    assert "error: chunkdl has a bug: RuntimeError: something new" in stage.err
    assert "bug: Traceback" in stage.err
    if as_json:
        validate(path, stage.json)
    else:
        assert stage.out == ""


class TestFullDisk:
    """stdout on /dev/full: every flush is refused."""

    def run(self, tmp_path, *argv, pipeline=None):
        stage = Stage(tmp_path, pipeline or places(("org/a", "/x"), ("org/b", "/y")))
        with open("/dev/full", "wb") as full:  # noqa: PTH123 - a stream as stdout has it
            around = Surroundings(
                argv, stage.environ, full, stage.stderr, clock=stage.clock, run_fetch=stage._run_fetch
            )
            code = command_line.main(argv, around)
        return code, stage.err

    @pytest.mark.parametrize("argv", [(), ("--json",)])
    def test_a_fetch_goes_on_and_ends_with_the_error(self, tmp_path, argv):
        code, said = self.run(tmp_path, "fetch", "org/a", "org/b", *argv)
        assert code == 6
        assert said.count("error: cannot write to standard output: No space left on device") == 1
        assert "done: " in said

    def test_another_failure_goes_first_and_both_are_told(self, tmp_path):
        code, said = self.run(tmp_path, "fetch", "org/a", "--json", "--limit-rate", "fast")
        assert code == 2
        assert said.count("error: ") == 2

    @pytest.mark.parametrize(
        "argv", [("cache", "ls", "--json"), ("mirrors", "list"), ("fetch", "--json", "--nothing"), ("lock", "--json")]
    )
    def test_other_commands_say_so_too(self, tmp_path, argv):
        code, said = self.run(tmp_path, *argv)
        assert code == 6
        assert "error: cannot write to standard output: No space left on device" in said
        assert "Traceback" not in said

    @pytest.mark.parametrize("argv", [["--help"], ["fetch", "--help"], ["--version"]])
    def test_help_as_a_process_with_nothing_left_to_flush(self, tmp_path, argv):
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            done = subprocess.run(
                [sys.executable, "-m", "chunkdl", *argv],
                cwd=REPO_ROOT,
                env={**os.environ, "HOME": str(tmp_path)},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == 6
        assert done.stderr.startswith("error: cannot write to standard output: No space left on device\nhint: ")
        assert done.stderr.count("\n") == 2


class TestSecrets:
    ADDRESS = "https://me:pass@word@h.example/f.pth?X-Amz-Signature=hidden"

    def test_several_that_failed_are_told_apart_without_them(self, tmp_path):
        stage = Stage(tmp_path, raises(RuntimeError()))
        stage.run("fetch", self.ADDRESS, "org/b", "--limit-rate", "fast")
        assert "hidden" not in stage.err
        assert "word" not in stage.err
        assert "https://h.example/f.pth?...: " in stage.err
