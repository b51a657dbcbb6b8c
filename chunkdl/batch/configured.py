"""What the user's own settings file says about batches, in its ``[batch]``: policy and hooks.

Decides that nobody else may say it: a project's file lies in a stranger's checkout, and a hook is a command. A value
that cannot mean anything is named with file, line and key.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC
from typing import TYPE_CHECKING, Any

from chunkdl.batch.manifest import policy_in
from chunkdl.batch.policy import PolicyText, policy_of
from chunkdl.errors import UsageError
from chunkdl.settings.load import user_settings_path
from chunkdl.settings.user_file import read_user_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.settings.user_file import UserFile


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands that are run afterwards, each a program and its arguments; empty for none.

    Args:
        on_job_done: when an attempt of a job has ended, well or badly.
        on_window_closed: when a window has closed, or the run is over.
    """

    on_job_done: tuple[str, ...] = ()
    on_window_closed: tuple[str, ...] = ()


def config_policy(environ: Mapping[str, str]) -> PolicyText:
    """The policy in the user's settings file; None where it says nothing.

    Raises:
        UsageError: a mistake in the file; the message names file, line and key.
    """
    file = _file(environ)
    text = policy_in(_table(file))
    for each in fields(PolicyText):
        try:
            policy_of(PolicyText(**{each.name: getattr(text, each.name)}), UTC)
        except UsageError as error:
            raise UsageError(f"{file.place_in('batch', each.name)}: {error.message}", hint=error.hint) from error
    return text


def config_hooks(environ: Mapping[str, str]) -> Hooks:
    """The hooks in the user's settings file.

    Raises:
        UsageError: a mistake in the file; the message names file, line and key.
    """
    table = _table(_file(environ))
    return Hooks(*(tuple(table.get(each.name, ())) for each in fields(Hooks)))


def _file(environ: Mapping[str, str]) -> UserFile:
    path, required = user_settings_path(environ)
    return read_user_file(path, required=required)


def _table(file: UserFile) -> Mapping[str, Any]:
    return file.get("batch", dict) or {}
