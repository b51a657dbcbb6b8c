"""House rules that a program holds: sizes, places of foreign libraries, purity, reasons."""

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "chunkdl"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MODULE_LINES = 400
FUNCTION_LINES = 60
SCRIPT_LINES = 21

# Where each foreign library may be imported: a file, or a folder ending in a slash.
PLACES = {
    "aiofiles": {"identify/known.py", "transfer/journal.py"},
    "aiohttp": {"batch/page/", "endpoint/server.py", "http/", "share/sending.py", "testing/"},
    "aiohttp_socks": {"http/sessions.py"},
    "click": {"cli/"},
    "cronsim": {"batch/recurring.py"},
    "filelock": {"assemble/hub_lock.py", "batch/runner_lock.py", "identify/known_locks.py"},
    "matplotlib": {"mirrors/plot.py"},
    "ml_dtypes": {"convert/numbers.py"},
    "numpy": {"convert/numbers.py"},
    "platformdirs": {"settings/"},
    "safetensors": {"convert/header.py"},
    "tomlkit": {"mirrors/editing.py"},
    "tqdm": {"progress.py"},
    "truststore": {"http/tls.py"},
    "xxhash": {"core/journal_codec.py", "transfer/"},
    "multidict": {"http/", "testing/"},
    "yarl": {"http/", "testing/"},
}
AIOHTTP_OWN = {"multidict", "yarl"}  # its header and URL types come with it
DATA = {"tzdata"}  # zoneinfo reads it where the system has no database

# Context managers that cancel and await every task they created.
TASK_SCOPES = {"identify/asking.py", "transfer/engine.py", "transfer/threads.py"}

# Modules of the standard library whose effects the core gets as arguments instead.
IMPURE = {"asyncio", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "socket", "subprocess"} | {
    "tempfile",
    "threading",
    "time",
}

VAGUE = re.compile(r"(?:Manager|Helper|Handler|Util|Utils)$")


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path):
    return [each for each in ast.walk(tree(path)) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


def imports(path):
    """Top-level names that ``path`` imports at run time, those inside functions included."""
    typing_only = {
        id(inner)
        for each in ast.walk(tree(path))
        if isinstance(each, ast.If) and "TYPE_CHECKING" in ast.unparse(each.test)
        for inner in ast.walk(each)
    }
    names = set()
    for each in ast.walk(tree(path)):
        if isinstance(each, ast.Import) and id(each) not in typing_only:
            names |= {alias.name.split(".")[0] for alias in each.names}
        elif isinstance(each, ast.ImportFrom) and each.module and not each.level and id(each) not in typing_only:
            names.add(each.module.split(".")[0])
        elif isinstance(each, ast.Call) and ast.unparse(each.func) == "importlib.import_module":
            names |= {arg.value.split(".")[0] for arg in each.args[:1] if isinstance(arg, ast.Constant)}
    return names


def foreign(path):
    return imports(path) - set(sys.stdlib_module_names) - {"chunkdl"}


def calls(path):
    """Dotted names of everything that is called."""
    return {ast.unparse(each.func) for each in ast.walk(tree(path)) if isinstance(each, ast.Call)}


def is_its_place(where, name):
    return any(where == place or (place[-1] == "/" and where.startswith(place)) for place in PLACES.get(name, ()))


def test_modules_are_short():
    lines = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {where: n for where, n in lines.items() if n > MODULE_LINES} == {}
    assert median(lines.values()) <= 150


def test_functions_are_short():
    sizes = {
        f"{relative(path)}:{each.name}": each.end_lineno - each.lineno + 1
        for path in MODULES
        for each in functions(path)
    }
    assert {name: n for name, n in sizes.items() if n > FUNCTION_LINES} == {}
    assert median(sizes.values()) <= 12
    assert sorted(sizes.values())[len(sizes) * 9 // 10] <= 30


def test_a_foreign_library_is_imported_in_its_place_alone():
    strays = [
        (relative(path), name) for path in MODULES for name in foreign(path) if not is_its_place(relative(path), name)
    ]
    assert strays == []


def test_dependencies_are_exactly_what_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    runtime = [*project["dependencies"], *extras["socks"], *extras["plot"], *extras["convert"]]
    required = {re.match(r"[\w-]+", each)[0].replace("-", "_") for each in runtime}
    imported = set().union(*map(foreign, MODULES))
    assert imported - AIOHTTP_OWN == required - DATA


def test_the_core_decides_and_does_nothing_else():
    core = [path for path in MODULES if path.is_relative_to(PACKAGE / "core")]
    assert [(relative(path), sorted(found)) for path in core if (found := IMPURE & imports(path))] == []
    clocks = {"open", "print", "input", "datetime.now", "datetime.datetime.now"}
    assert [(relative(path), sorted(found)) for path in core if (found := clocks & calls(path))] == []


def test_only_scopes_create_bare_tasks():
    """Elsewhere a task belongs to a TaskGroup; these two end what they began themselves."""
    bare = re.compile(r"(?:asyncio|.*\bloop\b.*)\.(?:create_task|ensure_future)|ensure_future|create_task")
    found = [(relative(path), call) for path in MODULES for call in calls(path) if bare.fullmatch(call)]
    assert [each for each in found if each[0] not in TASK_SCOPES] == []


def tells(handler):
    """True if what was caught is raised again, or goes on as a value or a text."""
    names = {each.id for each in ast.walk(handler) if isinstance(each, ast.Name)}
    return (
        handler.name in names or "traceback" in names or any(isinstance(each, ast.Raise) for each in ast.walk(handler))
    )


def test_no_handler_hides_faults():
    silent = [
        f"{relative(path)}:{each.lineno}"
        for path in MODULES
        for each in ast.walk(tree(path))
        if isinstance(each, ast.ExceptHandler)
        and (each.type is None or ast.unparse(each.type) in {"Exception", "BaseException"})
        and not tells(each)
    ]
    assert silent == []


def test_names_say_what_a_thing_is():
    assert [path for path in MODULES if path.stem in {"utils", "util", "helpers", "common", "misc"}] == []
    classes = [each for path in MODULES for each in ast.walk(tree(path)) if isinstance(each, ast.ClassDef)]
    assert [each.name for each in classes if VAGUE.search(each.name)] == []


def test_nothing_is_left_for_later():
    later = re.compile(r"\b(?:TODO|FIXME|XXX|raise NotImplementedError|breakpoint\()")
    assert [relative(path) for path in MODULES if later.search(path.read_text(encoding="utf-8"))] == []


def test_no_test_skips_or_sleeps():
    banned = {"pytest.skip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail", "pytest.importorskip"}
    used = {
        path.name: {ast.unparse(each) for each in ast.walk(tree(path)) if isinstance(each, ast.Attribute)}
        for path in TESTS
    }
    assert {name: found for name, each in used.items() if (found := each & (banned | {"time.sleep"}))} == {}


def test_every_dependency_and_every_ruff_ignore_has_a_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.importlinter]")[0]
    lists = re.findall(r"^(?:dependencies|ignore|\w+|\"[\w/*]+\") = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert len(lists) >= 6
    entries = [line for each in lists for line in each.splitlines() if line.startswith('  "') and "chunkdl" not in line]
    assert [line for line in entries if not re.search(r"# \S", line)] == []


@pytest.mark.parametrize(
    "path",
    sorted(each for each in (ROOT / "scripts").iterdir() if each.is_file() and not each.suffix),
    ids=lambda each: each.name,
)
def test_a_script_is_short_and_stops_at_the_first_failure(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"#!/bin/sh -ex?", lines[0])
    assert lines[1].startswith("# ")
    assert len(lines) <= SCRIPT_LINES
    assert path.stat().st_mode & 0o111


def test_the_readme_names_only_files_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(([\w./-]+)\)|`((?:chunkdl|scripts|tests|fixtures)/[\w./-]+)`", readme)
    assert len(named) > 5
    assert [each for pair in named for each in pair if each and not (ROOT / each).exists()] == []
