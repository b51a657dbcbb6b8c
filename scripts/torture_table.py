"""The hostile table, played and printed: every way to be hostile, how it ended, and how long it took."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hostile.stage import IMPATIENT, Played, play_table
from tests.hostile.table import ROWS, Place
from tests.hostile.verdict import complaints, limit_s

NAME_WIDTH, CELL_WIDTH = 46, 24


def main(words: list[str]) -> int:
    """Play the rows whose names hold all of ``words``; returns 1 if one did not end as the table says."""
    rows = [row for row in ROWS if all(word in row.name for word in words)]
    if not rows:
        print(f"no row is called {' '.join(words)!r}", file=sys.stderr)
        return 2
    began, found = time.monotonic(), {}
    with tempfile.TemporaryDirectory(prefix="chunkdl-hostile-") as folder:
        print(f"{len(rows)} rows in {len(Place)} places: give it a minute or two", file=sys.stderr)
        play_table([(row, place) for row in rows for place in Place], Path(folder), lambda each: judge(each, found))
    print_table([row.name for row in rows], found)
    wrong = sum(bool(cell.complaints) for cell in found.values())
    print(f"\nalone, where nobody has the file, patience is {IMPATIENT}; tests/sim/test_hopeless.py plays the real one")
    print(f"{len(found)} fetches, {wrong} not as they must be, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


class Cell:
    """What came of one row in one place, while its cache still stands."""

    def __init__(self, played: Played) -> None:
        self.complaints = complaints(played)
        code = "hung" if played.report is None else f"exit {played.report.exit_code}"
        mark = "  WRONG" if self.complaints else ""
        self.text = f"{code} {played.wall_s:5.1f} s of {limit_s(played):.0f}{mark}"
        error = None if played.report is None else played.report.results[0].error
        self.said = "" if error is None else error.message


def judge(played: Played, found: dict[tuple[str, str], Cell]) -> None:
    """Keep the verdict, which needs the files."""
    found[played.row.name, played.place.value] = Cell(played)


def print_table(names: list[str], found: dict[tuple[str, str], Cell]) -> None:
    """One line a row; below it what was said where it failed alone, and every complaint."""
    print(f"{'':{NAME_WIDTH}}{''.join(f'{place.value:{CELL_WIDTH}}' for place in Place)}".rstrip())
    for name in names:
        cells = {place.value: found[name, place.value] for place in Place}
        print(f"{name:{NAME_WIDTH}}{''.join(f'{cell.text:{CELL_WIDTH}}' for cell in cells.values())}".rstrip())
        if cells["alone"].said:
            print(f"    {cells['alone'].said[:150]}")
        for place, cell in cells.items():
            for each in cell.complaints:
                print(f"    !! {place}: {each}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
