"""``import chunkdl`` is cheap, and everything that it promises is there, typed and documented."""

import inspect
import subprocess
import sys
from dataclasses import fields
from typing import get_args

import pytest

import chunkdl
from chunkdl import observe
from chunkdl.settings import Flags


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("name", [each for each in chunkdl.__all__ if each != "__version__"])
def test_every_promised_name_is_there_and_says_what_it_is(name):
    value = getattr(chunkdl, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)
    assert name in dir(chunkdl)


def test_other_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = chunkdl.nothing


def test_importing_brings_nothing_heavy():
    loaded = set(python("import chunkdl, sys; print(*sys.modules, sep='\\n')").split())
    assert loaded.isdisjoint({"aiohttp", "asyncio", "ssl", "aiofiles", "xxhash", "chunkdl.api", "chunkdl.model"})


def test_importing_takes_less_than_50_ms():
    code = "import time; a = time.perf_counter(); import chunkdl; print(time.perf_counter() - a)"
    assert min(float(python(code)) for _ in range(3)) < 0.05


def test_naming_the_functions_does_not_bring_the_http_client():
    code = "import chunkdl, sys; chunkdl.fetch, chunkdl.Mirror; print('aiohttp' in sys.modules)"
    assert python(code).strip() == "False"


# What no caller of the library says: plans are the command line's, the rest is what other parts tell each other.
NOT_FOR_CALLERS = {"dry_run", "names_prove", "distrusted", "may_miss"}


@pytest.mark.parametrize("function", [chunkdl.fetch, chunkdl.afetch], ids=["fetch", "afetch"])
def test_everything_that_can_be_wished_is_a_keyword_of_its_own(function):
    parameters = inspect.signature(function).parameters
    wishes = {*chunkdl.FetchOptions.__dataclass_fields__, *chunkdl.SourceOptions.__dataclass_fields__}
    wanted = {"locked" if each == "lock" else each for each in wishes - NOT_FOR_CALLERS}
    assert wanted | {"reference", "on_event", "settings"} == set(parameters)
    assert {each.kind for name, each in parameters.items() if name != "reference"} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("function", [chunkdl.plan, chunkdl.aplan], ids=["plan", "aplan"])
def test_a_plan_takes_what_a_fetch_does_but_pace(function):
    pace = {"limit_rate_bytes_per_s", "connections"}
    assert set(inspect.signature(function).parameters) == set(inspect.signature(chunkdl.fetch).parameters) - pace


def test_every_flag_of_the_settings_has_its_keyword():
    flags = {each.name for each in fields(Flags)} - {"no_mirrors"}  # mirrors=[]
    assert flags <= {each.name for each in fields(chunkdl.SourceOptions)}


def test_a_pool_takes_in_both_forms_what_one_call_may_have_of_its_own():
    both = [list(inspect.signature(each).parameters) for each in (chunkdl.Downloader.fetch, chunkdl.Downloader.afetch)]
    assert both[0] == both[1]


def test_all_is_sorted_and_every_event_is_in_it():
    assert chunkdl.__all__ == sorted(chunkdl.__all__)
    assert {each.__name__ for each in get_args(observe.WatchedEvent)} <= set(chunkdl.__all__)
