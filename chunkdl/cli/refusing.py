"""A command line that cannot be carried out, told as the command that was meant tells its failures.

Decides which command that is and whether it was asked for one object; what went wrong is the caller's to say.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import click

from chunkdl.cli.answering import fail
from chunkdl.cli.empty_answers import EMPTY
from chunkdl.cli.errors import failure_report
from chunkdl.cli.output import Output
from chunkdl.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.cli.surroundings import Surroundings

_JSON = "--json"


def refuse(error: Exception, commands: click.Group, arguments: Sequence[str], around: Surroundings) -> int:
    """Tell it, a bug with its traceback, and return the exit code."""
    words = list(takewhile(lambda each: each != "--", arguments))
    path, command = _meant(commands, words)
    # Where no command is named, fetch's name was forgotten more often than not.
    as_json = _JSON in words and (_takes_json(command) or command is commands)
    try:
        if as_json and path not in EMPTY:
            Output(around.stdout).json(failure_report((), error))
            as_json = False
        return fail(around, error, as_json=as_json, empty=EMPTY.get(path))
    except StoreError as unwritten:
        return fail(around, unwritten, as_json=False)


def _meant(commands: click.Group, words: Sequence[str]) -> tuple[str, click.Command]:
    """The command that the first words name, as far as they name one."""
    path: list[str] = []
    found: click.Command = commands
    for each in words:
        ctx = click.Context(found)
        if not isinstance(found, click.Group) or (below := found.get_command(ctx, each)) is None:
            break
        path.append(each)
        found = below
    return " ".join(path), found


def _takes_json(command: click.Command) -> bool:
    return any(_JSON in each.opts for each in command.params)
