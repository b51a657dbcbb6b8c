"""A manifest: a TOML file that says which models to pull, when and how fast.

Decides what may stand in it, and that a mistake is named with file, line and key, and with the word that was
probably meant. Deliberately does not know which wishes the queue holds already.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkdl.batch.instants import instant_of
from chunkdl.batch.job import Circumstances, JobKind, Task, Wish
from chunkdl.batch.policy import PolicyText, policy_of, zone_of
from chunkdl.batch.recurring import next_time
from chunkdl.errors import UsageError
from chunkdl.identify.references import parse_reference
from chunkdl.settings.project import FORMATS
from chunkdl.settings.toml_lines import lines_by_key
from chunkdl.settings.user_file import settings_text
from chunkdl.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

_Kinds = dict[str, type | tuple[type, ...]]

# The policy, in [batch].
POLICY_KEYS: _Kinds = {"windows": list, "time_zone": str, "bwlimit": str, "budgets": dict, "caps": dict}
_CIRCUMSTANCES: _Kinds = {"origin": str, "mirrors": list, "trust": str}
_URGENCY: _Kinds = {"priority": int, "deadline": (str, datetime, date), "every": str}
_SELECTION: _Kinds = {
    "revision": str, "include": list, "exclude": list, "format": str, "variant": str, "quant": str,
    "cache_dir": str, "local_dir": str,
}  # fmt: skip
_MODEL_KEYS: _Kinds = {"ref": str, **_SELECTION, **_URGENCY, **_CIRCUMSTANCES}
_TEST_KEYS: _Kinds = {"ref": str, **_URGENCY, **_CIRCUMSTANCES}
_TABLES: _Kinds = {"batch": dict, "model": list, "mirrors_test": list}
_TRUSTS = ("auto", "strict")
_MOST_PRIORITY = 1000  # an order among some hundreds of jobs

_Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says. ``wishes`` in its order; ``policy`` has None where it says nothing."""

    where: str
    wishes: tuple[Wish, ...]
    policy: PolicyText = field(default_factory=PolicyText)


def read_manifest(path: Path, local_zone: tzinfo) -> Manifest:
    """Read and check the manifest at ``path``; relative folders in it are relative to it.

    Raises:
        UsageError: there is none, or a mistake in it; the message names file, line and key.
    """
    text = settings_text(path, required=True)
    assert text is not None
    return _Reading(text, path, local_zone).manifest()


def policy_in(table: Mapping[str, Any]) -> PolicyText:
    """The policy in a table whose keys and types were checked."""
    said = {key: table[key] for key in POLICY_KEYS if key in table}
    if "windows" in said:
        said["windows"] = tuple(said["windows"])
    return PolicyText(**said)


class _Reading:
    """One text being checked."""

    def __init__(self, text: str, path: Path, local_zone: tzinfo) -> None:
        self._path = path
        self._zone = local_zone
        self._lines = lines_by_key(text)
        try:
            self._values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path}: no TOML: {error}") from error

    def manifest(self) -> Manifest:
        self._check(self._values, _TABLES, ())
        batch = self._values.get("batch", {})
        self._check(batch, {**POLICY_KEYS, **_CIRCUMSTANCES}, ("batch",))
        policy = self._policy(batch)
        around = self._circumstances(batch, ("batch",), Circumstances())
        wishes = [
            *(self._model(each, ("model", at), around) for at, each in enumerate(self._values.get("model", []))),
            *(self._test(each, ("mirrors_test", at), around) for at, each in enumerate(self._tests())),
        ]
        self._refuse_twins(wishes)
        return Manifest(str(self._path), tuple(wishes), policy)

    def _tests(self) -> list[Any]:
        return list(self._values.get("mirrors_test", []))

    # -- places and types ------------------------------------------------------------------------

    def _at(self, place: _Place) -> str:
        """File and line of a key, or of the table it stands in."""
        first_of_many = (*place, 0)  # a list of tables stands where the first of them does
        line = next((self._lines[each] for each in (place, first_of_many, place[:-1]) if each in self._lines), 0)
        return f"{self._path}:{line}" if line else str(self._path)

    def _wrong(self, place: _Place, what: str, hint: str = "") -> UsageError:
        return UsageError(f"{self._at(place)}: {place[-1]}: {what}", hint=hint)

    def _check(self, table: Any, known: _Kinds, place: _Place) -> None:
        if not isinstance(table, dict):
            raise self._wrong(place, "is written as a [[table]]")
        for key, value in table.items():
            if key not in known:
                close = nearest(key, known)
                hint = f"did you mean {close}?" if close else f"known keys: {', '.join(known)}"
                raise UsageError(f"{self._at((*place, key))}: unknown key {key!r}", hint=hint)
            # bool is an int to Python, but `priority = true` is a mistake
            if not isinstance(value, known[key]) or isinstance(value, bool):
                raise self._wrong((*place, key), f"{value!r} has the wrong type")
            if isinstance(value, list) and key not in _TABLES and not all(isinstance(each, str) for each in value):
                raise self._wrong((*place, key), "is a list of texts")

    # -- policy ----------------------------------------------------------------------------------

    def _policy(self, table: Mapping[str, Any]) -> PolicyText:
        """Checked key by key, so that a mistake is named by its own line."""
        for key in ("budgets", "caps"):
            if not all(isinstance(each, str) for each in table.get(key, {}).values()):
                raise self._wrong(("batch", key), "maps mirrors to texts such as '20G'")
        whole = policy_in(table)
        if whole.time_zone is not None:
            self._zone = self._tried("time_zone", lambda: zone_of(whole.time_zone or ""))
        for each in fields(PolicyText):
            alone = PolicyText(**{each.name: getattr(whole, each.name)})
            self._tried(each.name, lambda alone=alone: policy_of(alone, self._zone))
        return whole

    def _tried(self, key: str, attempt: Any) -> Any:
        try:
            return attempt()
        except UsageError as error:
            raise self._wrong(("batch", key), error.message, error.hint) from error

    # -- wishes ----------------------------------------------------------------------------------

    def _model(self, table: Any, place: _Place, around: Circumstances) -> Wish:
        self._check(table, _MODEL_KEYS, place)
        if "ref" not in table:
            raise UsageError(f"{self._at((*place, 'ref'))}: a [[model]] needs ref", hint='ref = "org/name"')
        self._check_reference(table["ref"], place)
        if table.get("format", "auto") not in FORMATS:
            raise self._wrong((*place, "format"), f"{table['format']!r} is none of {', '.join(FORMATS)}")
        if "cache_dir" in table and "local_dir" in table:
            raise self._wrong((*place, "local_dir"), "excludes cache_dir")
        task = Task(
            table["ref"],
            revision=table.get("revision"),
            include=tuple(table.get("include", ())),
            exclude=tuple(table.get("exclude", ())),
            format=table.get("format", "auto"),
            variant=table.get("variant"),
            quant=table.get("quant"),
            cache_dir=self._folder(table.get("cache_dir")),
            local_dir=self._folder(table.get("local_dir")),
        )
        return self._wish(task, table, place, around)

    def _test(self, table: Any, place: _Place, around: Circumstances) -> Wish:
        self._check(table, _TEST_KEYS, place)
        if "ref" in table:
            self._check_reference(table["ref"], place)
        return self._wish(Task(table.get("ref", ""), JobKind.MIRRORS_TEST), table, place, around)

    def _check_reference(self, text: str, place: _Place) -> None:
        try:
            parse_reference(text)
        except UsageError as error:
            raise self._wrong((*place, "ref"), error.message, error.hint) from error

    def _wish(self, task: Task, table: Mapping[str, Any], place: _Place, around: Circumstances) -> Wish:
        priority = table.get("priority", 0)
        if abs(priority) > _MOST_PRIORITY:
            raise self._wrong((*place, "priority"), f"{priority} is not between -{_MOST_PRIORITY} and {_MOST_PRIORITY}")
        return Wish(
            task,
            priority=priority,
            deadline=self._deadline(table.get("deadline"), place),
            every=self._every(table.get("every"), place),
            circumstances=self._circumstances(table, place, around),
        )

    def _deadline(self, said: str | date | None, place: _Place) -> float | None:
        """An instant; a day alone means its end is too late and its beginning is meant: 00:00 of the batch's zone."""
        if said is None:
            return None
        try:
            return instant_of(said, self._zone)
        except UsageError as error:
            raise self._wrong((*place, "deadline"), error.message, error.hint) from error

    def _every(self, said: str | None, place: _Place) -> str | None:
        if said is not None:
            try:
                next_time(said, 0.0, self._zone)
            except UsageError as error:
                raise self._wrong((*place, "every"), error.message, error.hint) from error
        return said

    def _circumstances(self, table: Mapping[str, Any], place: _Place, around: Circumstances) -> Circumstances:
        trust = table.get("trust", around.trust)
        if trust not in (None, *_TRUSTS):
            raise self._wrong((*place, "trust"), f"{trust!r} is neither auto nor strict")
        mirrors = tuple(table["mirrors"]) if "mirrors" in table else around.mirrors
        return Circumstances(table.get("origin", around.origin), mirrors, trust)

    def _folder(self, said: str | None) -> str | None:
        return None if said is None else str((self._path.absolute().parent / Path(said).expanduser()).resolve())

    def _refuse_twins(self, wishes: list[Wish]) -> None:
        seen: dict[str, Wish] = {}
        for each in wishes:
            twin = seen.setdefault(each.task.job_id, each)
            if twin is not each:
                name = each.task.reference or "the mirror test"
                raise UsageError(f"{self._path}: {name} stands in it twice, with the same selection and destination")
