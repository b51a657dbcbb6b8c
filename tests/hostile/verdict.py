"""Judging what a fetch from hostile mirrors came to: every complaint as one line, none if all is well.

Decides from the report and from what lies in the cache afterwards; nothing is believed that is not hashed.
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from pathlib import Path

from chunkdl.observe import CorruptionFound
from chunkdl.testing import SeededContent
from tests.hostile.stage import IMPATIENT, Played, as_listed, is_hopeless
from tests.hostile.table import Place

STALL_S = 8.0
# Starting, hashing, placing and closing beside a dozen others, on a machine that has other things to do.
SLACK_S = 2.0
# After patience: an attempt that had just begun, and the rest before it.
LAST_ATTEMPT_S = 20.0


def complaints(played: Played) -> list[str]:
    """Everything that is not as the table says."""
    if played.report is None:
        return [played.mishap]
    expected, result = played.row.ends(played.place), played.report.results[0]
    found = [*misplaced(played), *_late(played)]
    if played.trapped:
        found.append(f"{played.trapped} connections to a server that it must not ask")
    if result.exit_code != expected.code:
        said = result.error.message if result.error else "no error"
        return [*found, f"ended in {result.exit_code}, not in {expected.code}: {said}"]
    return [*found, *(_of_success(played) if result.ok else _of_failure(played))]


def limit_s(played: Played) -> float:
    """How long it may take: twice what the honest mirror needs alone, and what the row grants."""
    granted_s = STALL_S * played.row.ends(played.place).stalls
    if is_hopeless(played.row, played.place):
        return IMPATIENT["no_progress_s"] + LAST_ATTEMPT_S + granted_s + played.honest_s  # longer if busy
    return 2 * played.honest_s + SLACK_S + granted_s


def misplaced(played: Played) -> list[str]:
    """Blobs that are not what their names say, snapshots of failed fetches, anything outside of cache and state."""
    found = [
        f"{path.name} outside of the cache"
        for path in played.scene.folder.iterdir()
        if path.name not in {"hub", "state"}
    ]
    blobs = [path for path in played.scene.cache.glob("models--*/blobs/*") if "." not in path.name]
    found += [f"the blob {path.name} holds something else" for path in blobs if path.name not in _names(path)]
    if not played.report.results[0].ok:
        placed = [*played.scene.cache.glob("*/snapshots/*"), *played.scene.cache.glob("*/refs/*")]
        found += [f"{path} after a failure" for path in placed]
    return found


def _names(path: Path) -> set[str]:
    data = path.read_bytes()
    return {hashlib.sha256(data).hexdigest(), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}


def _late(played: Played) -> list[str]:
    limit = limit_s(played)
    if played.wall_s <= limit:
        return []
    return [f"took {played.wall_s:.1f} s, the limit is {limit:.1f} s (honest alone: {played.honest_s:.1f} s)"]


def _of_success(played: Played) -> list[str]:
    expected, result = played.row.ends(played.place), played.report.results[0]
    files = as_listed(played) if expected.as_told else dict(played.repo.files)
    found = [
        f"{path} is not what it should be" for path, content in files.items() if not _holds(result.path, path, content)
    ]
    placed = {each.path for each in result.files}
    found += [f"{path} is placed and was not asked for" for path in placed - set(files)]
    if expected.vouched != (result.authority == "mirrors"):
        found.append(f"the authority is {result.authority}")
    if expected.vouched and result.authenticated:
        found.append("the word of mirrors is called authenticated")
    return [*found, *_unnamed(played)]


def _holds(snapshot: str, path: str, content) -> bool:
    try:
        data = (Path(snapshot) / path).read_bytes()
    except OSError:
        return False
    if isinstance(content, SeededContent):
        return len(data) == content.size and content.first_difference(data) is None
    return data == bytes(content)


def _unnamed(played: Played) -> list[str]:
    """Who sent wrong bytes is named, if any of them got into a file."""
    if not played.row.named:
        return []
    liar = next((each for each in played.report.hosts if played.liar_name in each.host), None)
    named = {event.host for event in played.scene.watched if isinstance(event, CorruptionFound)}
    lied = any(fnmatchcase(path, fault.path) for path in played.liar.bytes_by_file for fault in played.row.faults)
    if liar is None or not lied or not liar.bytes or liar.state == "excluded" or liar.host in named:
        return []
    return [f"{liar.host} gave {liar.bytes} bytes, lied, and is not named"]


def _of_failure(played: Played) -> list[str]:
    error, expected = played.report.results[0].error, played.row.ends(played.place)
    found = []
    names = {played.liar_name, *played.repo.files, error.file or ""} - {""}
    if not any(name in error.message for name in names):
        found.append(f"names neither mirror nor file: {error.message}")
    if "\n" in error.message or not error.message.isprintable():
        found.append(f"is not one printable line: {error.message!r}")
    if not error.hint:
        found.append(f"no next step: {error.message}")
    if expected.says not in error.message:
        found.append(f"does not say {expected.says!r}: {error.message}")
    if played.place is not Place.ALONE and expected.code in {4, 5} and played.report.exit_code != expected.code:
        found.append("the run's exit code differs from the reference's")
    return found
