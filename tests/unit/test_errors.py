import inspect
import re

import pytest

from chunkdl import errors

TREE = [
    each
    for _name, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, errors.ChunkdlError) and each.__module__ == errors.__name__
]


def drawn():
    """Class name to exit code, as the module's drawing says; a line without a code inherits the line above."""
    codes, code = {}, 1
    for line in errors.__doc__.splitlines():
        names = re.findall(r"\b[A-Z]\w+", line.split("  the ")[0]) if re.match(r"\s+[│├└]", line) else []
        match = re.search(r" (\d)(?: |$)", line)
        code = int(match[1]) if match else code
        codes |= dict.fromkeys((each for each in names if hasattr(errors, each)), code)
    return codes


@pytest.mark.parametrize(
    "kind", [each for each in TREE if each is not errors.ChunkdlError], ids=lambda kind: kind.__name__
)
def test_the_drawing_shows_every_error_with_its_exit_code(kind):
    assert drawn()[kind.__name__] == kind.exit_code


def test_codes_for_scripts_are_unique():
    codes = [each.__dict__.get("code") for each in TREE]
    assert None not in codes
    assert len(set(codes)) == len(codes)


def test_an_error_keeps_its_parts():
    error = errors.DiskFull("no room", hint="free some", mirror="hf", file="a.bin")
    assert (str(error), error.hint, error.mirror, error.file) == ("no room", "free some", "hf", "a.bin")


@pytest.mark.parametrize(("status", "retryable"), [(429, True), (503, True), (404, False), (416, False)])
def test_a_status_knows_whether_to_come_back(status, retryable):
    error = errors.HTTPStatus("bad", status=status, retry_after_s=3.0, error_code="X", mirror="m")
    assert error.retryable is retryable
    assert (error.retry_after_s, error.error_code, error.mirror) == (3.0, "X", "m")
