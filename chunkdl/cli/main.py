"""The command ``chunkdl``: finds the subcommand, and turns every mistake in typing into one line.

Importing this must stay cheap (``--help`` in a fifth of a second): subcommands are imported when named.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from chunkdl import __version__
from chunkdl.cli.errors import USAGE_EXIT_CODE, resume_command
from chunkdl.cli.output import Output, cannot_write
from chunkdl.cli.refusing import refuse
from chunkdl.cli.sections import write_examples
from chunkdl.cli.surroundings import real_surroundings
from chunkdl.errors import StoreError, UsageError
from chunkdl.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.cli.surroundings import Surroundings

# Name → module and the line of help, so that `chunkdl --help` imports none of them.
_COMMANDS = {
    "fetch": ("chunkdl.cli.fetch", "Fetch models or datasets to where loaders look."),
    "convert": ("chunkdl.cli.convert", "Convert safetensors weights to half precision."),
    "run": ("chunkdl.cli.run", "Run a program whose own downloads then come through chunkdl."),
    "lock": ("chunkdl.cli.lock", "Write down what references mean today, for fetch --locked."),
    "mirrors": ("chunkdl.cli.mirrors", "Which mirrors there are, and how good they are from here."),
    "cache": ("chunkdl.cli.cache", "What lies in the caches: list, remove, prune, verify."),
    "verify": ("chunkdl.cli.cache", "Prove every byte of the caches again; --repair fetches what is damaged."),
    "batch": ("chunkdl.cli.batch", "Queue pulls, run them in off-peak windows, see what came."),
    "demo": ("chunkdl.cli.demo", "See it work: three bad mirrors on this machine, one good model, no internet."),
    "serve": ("chunkdl.cli.serve", "Serve a folder made by `mirrors export` as a mirror of your own."),
    "doctor": ("chunkdl.cli.doctor", "Check settings, network, mirrors and disk, and say what to do."),
}
_EXAMPLES = (
    ("chunkdl fetch bert-base-uncased", "fetch a model; from_pretrained('bert-base-uncased') then works, offline too"),
    ("chunkdl fetch bert-base-uncased --dry-run", "first look at what that would do"),
    ("chunkdl demo", "no internet, 20 seconds: a slow, a stalling and a lying mirror, and what becomes of them"),
)
# What the neighbours call it: hf, modelscope, ollama, pip.
_OTHER_WORDS_FOR_FETCH = frozenset({"download", "pull", "get", "install"})
_INTERRUPTED_EXIT_CODE = 130
# Wider lines are hard to follow; narrower terminals get narrower help.
_HELP_COLUMNS = 100


class _Commands(click.Group):
    """A group that imports a command when it is named."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise UsageError(f"there is no command {args[0]!r}", hint=f"did you mean: {_meant(args)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, _EXAMPLES)
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


def _meant(args: Sequence[str]) -> str:
    """A command that was mistyped, or fetch, whose name was forgotten or is another elsewhere."""
    if args[0] in _OTHER_WORDS_FOR_FETCH:
        return resume_command(["fetch", *(args[1:] or ["--help"])])
    if (near := nearest(args[0], _COMMANDS)) is not None:
        return resume_command([near, *args[1:]])
    return resume_command(["fetch", *args])


@click.group(
    "chunkdl",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _HELP_COLUMNS},
    epilog="chunkdl COMMAND --help says more.",
)
@click.version_option(__version__, prog_name="chunkdl", message="%(prog)s %(version)s")
def _chunkdl() -> None:
    """Fetch AI models from several mirrors at once, prove every byte, place them where loaders look."""


def main(argv: Sequence[str] | None = None, around: Surroundings | None = None) -> int:
    """Run one command line and return its exit code; ``around`` stands in for this process in tests."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    around = around or real_surroundings(arguments)
    try:
        # windows_expand_args off: a pattern belongs to --include, not to the current folder.
        code = _chunkdl.main(arguments, "chunkdl", standalone_mode=False, windows_expand_args=False, obj=around)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", file=around.stderr)
        return USAGE_EXIT_CODE
    except click.ClickException as error:
        return refuse(_told_by_click(error), _chunkdl, arguments, around)
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED_EXIT_CODE
    except Exception as error:  # noqa: BLE001 - the last that can tell it: a bug with its traceback, never swallowed
        return refuse(_told_by_stdout(error, around) or error, _chunkdl, arguments, around)
    assert isinstance(code, int)
    return code


def _told_by_click(error: click.ClickException) -> UsageError:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return UsageError(error.format_message().rstrip("."), hint=f"see: {ctx.command_path if ctx else 'chunkdl'} --help")


def _told_by_stdout(error: Exception, around: Surroundings) -> StoreError | None:
    """``error`` in our words if it says that click could not print by itself, such as help; None if it does not.

    Whether anything is left in the buffer to fail once more differs between releases of Python.
    """
    if not isinstance(error, OSError) or _raised_in(error) != "click.utils":
        return None
    with suppress(StoreError):
        Output(around.stdout).flush()  # what is left goes nowhere: the interpreter would try it again
    return cannot_write(error)


def _raised_in(error: Exception) -> str:
    """The name of the module that raised it."""
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__"))
