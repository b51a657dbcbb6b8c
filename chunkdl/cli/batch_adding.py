"""``chunkdl batch add``: manifests and references into the queue; what is new, what changed, what is as it was.

Decides that nothing is queued unless everything that was named can be.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkdl.batch.instants import instant_of
from chunkdl.batch.job import JobState, Task, Wish
from chunkdl.batch.local_zone import local_zone
from chunkdl.batch.manifest import Manifest, read_manifest
from chunkdl.batch.policy import PolicyText
from chunkdl.batch.policy_record import PolicyRecord, policy_record, read_policy_record
from chunkdl.batch.queue import QUEUE_FILE, Queue
from chunkdl.batch.recurring import next_time
from chunkdl.cli.answering import Answer, answer, table
from chunkdl.cli.batch_sight import standing_of
from chunkdl.cli.wishes import Wishes
from chunkdl.errors import UsageError
from chunkdl.identify.references import parse_reference
from chunkdl.observe import Notice
from chunkdl.pipeline.destinations import destination_of
from chunkdl.settings import load_settings
from chunkdl.spelling import printable, spell_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import tzinfo

    from chunkdl.batch.job import Job
    from chunkdl.batch.queue import Added
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.settings import Settings

_MANIFEST = ".toml"
_AGAIN = "again"
# What is equally urgent goes in the order in which it was added: that of the manifest.
_STEP_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class AddWishes:
    """What was typed; names are those of the options."""

    subjects: tuple[str, ...]
    revision: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    weights_format: str | None = None
    variant: str | None = None
    quant: str | None = None
    priority: int | None = None
    deadline: str | None = None
    every: str | None = None
    again: bool = False
    cache_dir: str | None = None
    local_dir: str | None = None
    as_json: bool = False
    quiet: bool = False

    @property
    def selects(self) -> bool:
        """True if something was said about what to take or where to put it."""
        said = (self.revision, self.include, self.exclude, self.weights_format, self.variant, self.quant)
        return any((*said, self.cache_dir, self.local_dir))

    @property
    def manifests(self) -> tuple[str, ...]:
        """Those of the subjects that are files; an address may end like one."""
        return tuple(each for each in self.subjects if each.endswith(_MANIFEST) and "://" not in each)

    @property
    def references(self) -> tuple[str, ...]:
        """The others, each once."""
        return tuple(dict.fromkeys(each for each in self.subjects if each not in self.manifests))


def add_and_tell(wishes: AddWishes, around: Surroundings) -> int:
    """Queue everything and print a line each; the exit code."""
    command = _Adding(wishes, around)
    return answer(around, command.run, as_json=wishes.as_json, quiet=wishes.quiet, empty={"jobs": []})


class _Adding:
    """One call of it."""

    def __init__(self, said: AddWishes, around: Surroundings) -> None:
        self._said = said
        self._around = around
        self._now = time.time()
        self._notices: list[Notice] = []

    def run(self) -> Answer:
        self._check()
        zone = local_zone(self._around.environ)
        manifests = [_manifest(Path(each), zone) for each in self._said.manifests]
        settings = self._settings()
        with Queue(settings.state_dir / QUEUE_FILE) as queue:
            known = {each.id: each for each in queue.jobs()}
            again = self._named_again(known.values())
            tasks = [self._task(each, settings) for each in self._said.references if each not in again]
            for each in manifests:
                self._keep_policy(queue, each)
            clock = standing_of(queue, self._around.environ).policy.zone
            wished = [each for one in manifests for each in one.wishes]
            before = [known[each.job_id].wish if each.job_id in known else Wish(each) for each in tasks]
            wished += [self._wish(each, clock) for each in before]
            wished += [self._wish(each.wish, clock) for jobs in again.values() for each in jobs]
            added = [self._add(queue, each, clock, self._now + at * _STEP_S) for at, each in enumerate(wished)]
        return self._answer(added)

    def _named_again(self, jobs: Iterable[Job]) -> dict[str, list[Job]]:
        """With --again and no selection, jobs that the queue has by name or id: as they are, selection included."""
        said = self._said
        if not said.again or said.selects:
            return {}
        jobs = tuple(jobs)
        found = {
            each: [job for job in jobs if job.id == each or each in (job.name, job.wish.task.reference)]
            for each in said.references
        }
        return {name: matching for name, matching in found.items() if matching}

    def _check(self) -> None:
        said = self._said
        if not said.subjects:
            raise UsageError("batch add needs a MANIFEST.toml or a REF", hint="see: chunkdl batch add --help")
        defaults = AddWishes(subjects=(), again=said.again, as_json=said.as_json, quiet=said.quiet)
        if not said.references and replace(said, subjects=()) != defaults:
            raise UsageError(
                "a manifest says itself what and how urgently", hint="leave the options out, or name a REF"
            )
        if said.local_dir and len(said.references) > 1:
            raise UsageError("--local-dir takes one REF", hint="one call a folder, or a manifest with a local_dir each")

    def _settings(self) -> Settings:
        """Of the folder that one stands in: its project's wishes are stored with the job, which runs elsewhere."""
        wishes = Wishes(
            references=self._said.references, cache_dir=self._said.cache_dir, local_dir=self._said.local_dir
        )
        folder = self._around.folder if self._said.references else None
        settings = load_settings(self._around.environ, None, wishes.flags(), folder)
        self._notices += settings.notices if self._said.references else ()
        return settings

    def _task(self, reference: str, settings: Settings) -> Task:
        said = self._said
        if Path(reference).is_file():
            raise UsageError(f"{reference} is a file here, and no REF", hint="a manifest's name ends in .toml")
        destination_of(parse_reference(reference), settings)  # what has no place there is refused now, not at night
        typed = Wishes(
            references=(reference,),
            revision=said.revision,
            include=said.include,
            exclude=said.exclude,
            weights_format=said.weights_format,
            variant=said.variant,
            quant=said.quant,
        ).completed(settings.project)
        # The usual cache is looked up when the job runs; one that was typed, or that a project names, is the job's own.
        where = settings.provenance["cache_dir"]
        usual = where == "default" or where.startswith("environment") or where == self._user_file()
        own_cache = settings.local_dir is None and not usual
        return Task(
            reference.strip(),
            revision=typed.revision,
            include=typed.include,
            exclude=typed.exclude,
            format=typed.weights_format or "auto",
            variant=typed.variant,
            quant=typed.quant,
            cache_dir=str(settings.cache_dir.resolve()) if own_cache else None,
            local_dir=None if settings.local_dir is None else str(settings.local_dir),
        )

    def _user_file(self) -> str:
        from chunkdl.settings.load import user_settings_path  # noqa: PLC0415

        return str(user_settings_path(self._around.environ)[0])

    def _wish(self, before: Wish, clock: tzinfo) -> Wish:
        """What was typed; where nothing was, what the queue has."""
        said = self._said
        due = before.deadline if said.deadline is None else _due(said.deadline, clock)
        if said.every is not None:
            next_time(said.every, self._now, clock)
        if said.deadline is not None and due is not None and due < self._now:
            self._notices.append(
                Notice("deadline", f"{before.task.reference}: the deadline {said.deadline} is over already")
            )
        priority = before.priority if said.priority is None else said.priority
        return replace(before, priority=priority, deadline=due, every=said.every or before.every)

    def _add(self, queue: Queue, wish: Wish, clock: tzinfo, at: float) -> Added:
        added = queue.add(wish, at)
        job, changed = added.job, added.changed
        rests = job.state is JobState.DONE or (job.not_before > self._now and not job.failures)
        if self._said.again and not added.new and job.state is not JobState.RUNNING:
            job, changed = queue.retry(job.id, self._now), (*changed, _AGAIN)
        elif "every" in changed and wish.every is not None and rests:
            job = queue.retry(job.id, next_time(wish.every, self._now, clock))
        return replace(added, job=job, changed=changed)

    def _keep_policy(self, queue: Queue, manifest: Manifest) -> None:
        """A manifest that says nothing about when and how fast leaves alone what another one said."""
        try:
            before = read_policy_record(queue.policy())
        except (ValueError, TypeError, KeyError):  # no record that anybody could read: this one takes its place
            before = PolicyRecord()
        path = Path(manifest.where).absolute()
        if manifest.policy == PolicyText() and path != before.path:
            return
        if before.path not in {None, path}:
            message = f"windows and limits are those of {path} from now on, no longer those of {before.path}"
            self._notices.append(Notice("policy-replaced", message))
        queue.keep_policy(policy_record(manifest))

    def _answer(self, added: Sequence[Added]) -> Answer:
        new = sum(each.new for each in added)
        changed = sum(bool(each.changed) for each in added)
        same = len(added) - new - changed
        done = sum(each.job.state is JobState.DONE and not each.changed for each in added)
        notes = [f"{new} new, {changed} changed, {same} as before; chunkdl batch run fetches, batch status shows"]
        notes += [f"{spell_count(done, 'job')} done already; --again looks whether there is more"] if done else []
        rows = [(each.job.id, printable(each.job.name), _what(each)) for each in added]
        lines = table(rows) if self._around.stdout.isatty() and rows else ["\t".join(row) for row in rows]
        return Answer({"jobs": [_values(each) for each in added]}, lines, self._notices, notes=notes)


def _manifest(path: Path, zone: tzinfo) -> Manifest:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such manifest", hint="a TOML file with [[model]] tables; see the README")
    return read_manifest(path, zone)


def _due(text: str, clock: tzinfo) -> float:
    try:
        return instant_of(text, clock)
    except UsageError as error:
        raise UsageError(f"--deadline: {error.message}", hint=error.hint) from error


def _what(added: Added) -> str:
    if added.new:
        return "new"
    if added.changed:
        return f"changed: {', '.join(added.changed)}"
    return "as before" if added.job.state is JobState.WAITING else f"as before, {added.job.state}"


def _values(added: Added) -> dict[str, Any]:
    wish = asdict(added.job.wish)
    return {
        "id": added.job.id,
        "name": added.job.name,
        "new": added.new,
        "changed": list(added.changed),
        "state": added.job.state,
        "priority": wish["priority"],
        "deadline": wish["deadline"],
        "every": wish["every"],
        "task": {**wish["task"], "kind": added.job.wish.task.kind},
    }
