"""Help that teaches: options in named groups, and examples before them.

Decides layout only. click sorts nothing and knows no groups; both matter with two dozen options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where options stand that nobody sorted: --help.
_LAST_SECTION = "Output"


class SectionedOption(click.Option):
    """An option that names the section of the help it stands in."""

    def __init__(self, *args: Any, section: str = _LAST_SECTION, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class TeachingCommand(click.Command):
    """A command whose help shows examples, then its options by section.

    Args:
        examples: pairs of a command line and what it does.
        footer: literal lines after the options.
    """

    def __init__(
        self, *args: Any, examples: Sequence[tuple[str, str]] = (), footer: Sequence[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.footer = tuple(footer)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples first: most people copy one and read no further."""
        write_examples(formatter, self.examples)
        sections: dict[str, list[tuple[str, str]]] = {}
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx) if isinstance(each, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(each, "section", _LAST_SECTION), []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records, col_max=32)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lines that wrapping would spoil."""
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write("".join(f"{line}\n" for line in self.footer))


def write_examples(formatter: click.HelpFormatter, examples: Sequence[tuple[str, str]]) -> None:
    """Command lines with their meaning above them, so that each can be copied whole."""
    if examples:
        with formatter.section("Examples"):
            for command, meaning in examples:
                formatter.write(f"{'':>{formatter.current_indent}}# {meaning}\n")
                formatter.write(f"{'':>{formatter.current_indent}}{command}\n")
