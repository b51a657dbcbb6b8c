"""``--dry-run``: the plan as a table, one line a content, with what happens to it.

Decides columns only; the plan itself is the planner's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.spelling import printable, spell_bytes, spell_count, spell_reference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from chunkdl.core.planner import Plan, PlannedContent

# Stands behind the name of a file that can run code: python sources, pickles.
_RUNS_CODE = "(!)"


def spell_plan(reference: str, plan: Plan, mirrors: Sequence[str]) -> Iterator[str]:
    """The lines of one reference: a heading, the table, the totals. Columns are separated by two spaces or more."""
    commit = f"commit {plan.artifact.commit}  " if plan.artifact.commit else ""
    yield f"# {spell_reference(reference)}  {commit}listed by {plan.artifact.authority.name}"
    marked = frozenset(plan.executable)
    rows = [("FILE", "SIZE", "ACTION", "FROM"), *(_row(each, mirrors, marked) for each in plan.contents)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for file, size, action, source in rows:
        yield f"{file:<{widths[0]}}  {size:>{widths[1]}}  {action:<{widths[2]}}  {source}".rstrip()
    yield f"# {_totals(plan)}"
    if plan.executable:
        yield f"# {_RUNS_CODE}: {spell_count(len(plan.executable), 'file')} can run code of the publisher's when loaded"


def _row(content: PlannedContent, mirrors: Sequence[str], marked: Collection[str]) -> tuple[str, str, str, str]:
    names = " = ".join(printable(each) + (f" {_RUNS_CODE}" if each in marked else "") for each in content.paths)
    source = content.reuse_from[0] if content.reuse_from else ",".join(mirrors) if content.pending else ""
    action = content.action.value
    if content.claimed:
        action += f" {spell_bytes(content.bytes_to_fetch)}"
    return names, spell_bytes(content.size), action, source


def _totals(plan: Plan) -> str:
    parts = [
        f"{spell_count(len(plan.chosen), 'file')}, {spell_bytes(plan.bytes_total)}",
        f"{spell_bytes(plan.bytes_to_fetch)} to fetch",
        f"{spell_bytes(plan.bytes_reused)} here already",
    ]
    if plan.left_out:
        parts.append(
            f"{spell_count(len(plan.left_out), 'file')} ({spell_bytes(plan.bytes_left_out)}) left out, "
            "--format all fetches them"
        )
    return ", ".join(parts)
