"""``import chunkdl`` is cheap, and everything that it promises is there, typed and documented."""

import inspect
import subprocess
import sys

import pytest

import chunkdl


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
