"""What the object of ``--json`` holds when nothing came of a command: its own keys, empty.

Decides nothing else. Here, and not in the commands, because a mistyped command line must be answered without
importing what the command needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_Keys = dict[str, Any]
_REMOVED: _Keys = {"dry_run": False, "removals": [], "freed_bytes": 0, "kept": [], "skipped": [], "left": []}
_VERIFIED: _Keys = {"checked": {"files": 0, "bytes": 0}, "counts": {}, "findings": [], "mended": [], "repair": None}
_REPORTED: _Keys = {"since": None, "until": None, "came": [], "failed": [], "waiting": [], "hosts": [], "totals": None}
# Command as it is typed → its keys; ``fetch`` has a report instead.
EMPTY: Mapping[str, Mapping[str, Any]] = {
    "batch add": {"jobs": []},
    "batch cancel": {"cancelled": []},
    "batch log": {"job": None, "attempts": [], "files": []},
    "batch report": _REPORTED,
    "batch run": {"jobs": [], "left": None, "parked": None},
    "batch status": {"jobs": [], "policy": None},
    "batch timer": {"schedulers": {}, "written": []},
    "cache ls": {"cache_dir": "", "torch_dir": "", "repos": [], "checkpoints": [], "partials": [], "totals": {}},
    "cache prune": _REMOVED,
    "cache rm": _REMOVED,
    "cache verify": _VERIFIED,
    "convert": {"path": None},
    "doctor": {"reference": "", "settings": [], "sources": [], "folders": [], "findings": []},
    "lock": {"lock": ""},
    "mirrors add": {"mirrors": []},
    "mirrors export": {"folder": "", "exported": [], "errors": []},
    "mirrors list": {"mirrors": []},
    "mirrors remove": {"mirrors": []},
    "mirrors test": {"mirrors": []},
    "verify": _VERIFIED,
}
