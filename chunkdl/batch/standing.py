"""The policy in force: flags before the manifest before the user's settings file before always and without limit.

Decides that order only, reads what is needed for it, and says what could not be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.batch.configured import config_policy
from chunkdl.batch.local_zone import local_zone
from chunkdl.batch.policy import PolicyText, policy_of
from chunkdl.batch.policy_record import policy_now, read_policy_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.batch.policy import Policy
    from chunkdl.observe import Notice


@dataclass(frozen=True, slots=True)
class Standing:
    """The policy that counts, and what a person should know about how it came to be."""

    policy: Policy
    notices: tuple[Notice, ...] = ()


def standing_policy(kept: str | None, environ: Mapping[str, str], flags: PolicyText | None = None) -> Standing:
    """What counts at this moment; reads the manifest again, the user's settings file and the time zone.

    Args:
        kept: what ``Queue.policy`` says.
        environ: ``os.environ``, or a stand-in.
        flags: what was typed.

    Raises:
        UsageError: flags or settings file say what cannot be.
        ValueError, TypeError, KeyError: ``kept`` is no record of a policy.
    """
    zone = local_zone(environ)
    said, notices = policy_now(read_policy_record(kept), zone)
    text = (flags or PolicyText()).over(said).over(config_policy(environ))
    return Standing(policy_of(text, zone), notices)
