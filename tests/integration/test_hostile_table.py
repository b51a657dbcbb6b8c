"""Every row of the hostile table in every place: see ``tests/hostile/table.py``, which is the data."""

import ast
import faulthandler
from pathlib import Path

import pytest

from chunkdl.testing import fault_names
from tests.hostile.stage import case_name, play_table
from tests.hostile.table import ELSEWHERE, ROWS, Place
from tests.hostile.verdict import complaints

ROOT = Path(__file__).parents[2]
# Lies in listings of another hub's form, which say nothing to whoever asks for this one's.
OF_MODELSCOPE = {"wrong-sha256"}  # tests/integration/test_modelscope_hub.py
CASES = {case_name(row, place): (row, place) for row in ROWS for place in Place}


@pytest.fixture(scope="module")
def played(request, tmp_path_factory):
    """What came of every case that is selected: most of them play at once, which alone makes it bearable."""
    faulthandler.cancel_dump_traceback_later()  # the first test waits for all of them, which is no hang
    chosen = [each.callspec.params.get("name") for each in request.session.items if hasattr(each, "callspec")]
    found = {}
    cases = [CASES[name] for name in chosen if name in CASES]
    play_table(cases, tmp_path_factory.mktemp("hostile"), lambda each: found.update({each.name: each}))
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_mirror_changes_nothing_but_the_time(played, name):
    assert complaints(played[name]) == []


def test_rows_have_names_of_their_own():
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_every_fault_that_a_mirror_can_have_stands_in_the_table():
    assert set(fault_names()) - OF_MODELSCOPE == {fault.name for row in ROWS for fault in row.faults}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_what_is_said_to_be_tested_elsewhere_is(what):
    path, name = ELSEWHERE[what]
    tree = ast.parse((ROOT / path).read_text())
    assert name in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
