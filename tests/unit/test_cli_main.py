import subprocess
import sys

import pytest
from cli_stage import REPO_ROOT, Stage

from chunkdl import __version__


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def imported_by(*argv):
    code = f"import sys; from chunkdl.cli.main import main; main({list(argv)!r}); print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO_ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.splitlines())


@pytest.mark.parametrize("argv", [("--help",), ("fetch", "--help"), ("mirrors", "test", "--help"), ("--version",)])
def test_help_imports_nothing_that_costs(argv):
    costly = {"aiohttp", "asyncio", "tqdm", "aiofiles", "tomlkit", "ssl", "xxhash", "chunkdl.api", "chunkdl.http"}
    assert costly.isdisjoint(imported_by(*argv))


def test_help_shows_examples_before_commands(stage, capsys):
    assert stage.run("--help") == 0
    text = capsys.readouterr().out
    assert text.index("chunkdl fetch bert-base-uncased") < text.index("Commands:")


def test_help_of_fetch_has_examples_every_option_and_the_exit_codes(stage, capsys):
    assert stage.run("fetch", "--help") == 0
    text = capsys.readouterr().out
    for option in (
        *("--mirror", "--add-mirror", "--no-mirrors", "--origin", "--trust", "--revision", "--include", "--exclude"),
        *("--format", "--variant", "--quant", "--cache-dir", "--limit-rate", "--bwlimit", "--connections", "--force"),
        *("--offline", "--online", "--no-space-check", "--dry-run", "--json", "--quiet"),
        *("--progress", "Examples:", "Exit codes:"),
    ):
        assert option in text, option


def test_version(stage, capsys):
    assert stage.run("--version") == 0
    assert capsys.readouterr().out == f"chunkdl {__version__}\n"


def test_no_arguments_teach_and_count_as_usage(stage):
    assert stage.run() == 2
    assert "Examples:" in stage.err


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("bert-base-uncased", "--json"), "did you mean: chunkdl fetch bert-base-uncased --json"),
        (("download", "org/a b"), "did you mean: chunkdl fetch 'org/a b'"),
        (("pull",), "did you mean: chunkdl fetch --help"),
    ],
)
def test_a_forgotten_or_foreign_verb_is_understood(stage, argv, hint):
    assert stage.run(*argv) == 2
    assert stage.err == f"error: there is no command {argv[0]!r}\nhint: {hint}\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("fetch", "a/b", "--formt", "bin"), "--formt"),
        (("fetch", "a/b", "--format", "pickle"), "pickle"),
        (("fetch", "a/b", "--connections", "0"), "0"),
        (("fetch", "a/b", "--connections", "17"), "17"),
        (("fetch", "a/b", "--trust", "blindly"), "blindly"),
    ],
)
def test_mistakes_are_one_line_and_point_at_the_help(stage, argv, says):
    assert stage.run(*argv) == 2
    error, hint = stage.err.splitlines()
    assert error.startswith("error: ")
    assert says in error
    assert hint == "hint: see: chunkdl fetch --help"
    assert stage.out == ""


def test_a_fetch_of_nothing_says_what_to_type(stage):
    assert stage.run("fetch") == 2
    assert stage.err.splitlines() == [
        "error: fetch needs a REF",
        "hint: chunkdl fetch bert-base-uncased, or --locked FILE",
    ]
    assert stage.out == ""


def test_a_closed_pipe_while_printing_help_makes_no_noise():
    code = "import sys; from chunkdl.cli.main import main; sys.exit(main(['fetch', '--help']))"
    first = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPO_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    first.stdout.close()
    assert first.stderr.read() == b""
    first.stderr.close()
    assert first.wait(30) == 1
