"""What an owner file says: one line that is always the same length, so that it can be rewritten in place.

Decides the spelling, and when text is no record. Rewriting in place matters: an owner that slept
through its own replacement then writes to a file that has no name any more, never over its heir's.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass

from chunkdl.process_identity import ProcessIdentity

# One read and one write of one page at most; longest real record is about 350 bytes.
RECORD_BYTES = 768
_VERSION = 1
_CRC_DIGITS = 8


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """Who may write a part file, since how many take-overs, and how far it is.

    Args:
        process: the owner.
        nonce: random, tells apart two ownerships of one process.
        generation: 1, and one more at each take-over.
        counter: grows with each publication; how other hosts see that the owner lives.
        done_bytes: bytes stored so far, for whoever waits.
        left: the owner went before its work was done, and lives on: whoever comes next is its heir.
    """

    process: ProcessIdentity
    nonce: str
    generation: int
    counter: int = 0
    done_bytes: int = 0
    left: bool = False


def encode_owner(record: OwnerRecord) -> bytes:
    """The record as ``RECORD_BYTES`` bytes: JSON, padding, checksum; ``ValueError`` if it is too long."""
    text = json.dumps({"version": _VERSION, **asdict(record)}, separators=(",", ":"))
    body = text.encode("ascii").ljust(RECORD_BYTES - _CRC_DIGITS - 2)
    if len(body) > RECORD_BYTES - _CRC_DIGITS - 2:
        raise ValueError(f"owner record too long: {text}")
    return body + b" %08x\n" % zlib.crc32(body)


def decode_owner(data: bytes) -> OwnerRecord | None:
    """Read a record; None for anything that is not one whole, as during a write or after a power cut."""
    body, crc = data[: RECORD_BYTES - _CRC_DIGITS - 2], data[RECORD_BYTES - _CRC_DIGITS - 2 :]
    if crc != b" %08x\n" % zlib.crc32(body):
        return None
    try:
        fields = json.loads(body)
        process = ProcessIdentity(**fields.pop("process"))
        version = fields.pop("version")
        record = OwnerRecord(process=process, **fields)
    except (ValueError, TypeError, AttributeError, KeyError):  # sound, but written by something else
        return None
    return record if version == _VERSION and _is_typed(record) else None


def _is_typed(record: OwnerRecord) -> bool:
    """True if every value is what its field says: the file lies where others may write."""
    process = record.process
    texts = (process.host, process.boot, record.nonce)
    numbers = (process.pid, process.started or 0, record.generation, record.counter, record.done_bytes)
    numbered = all(type(n) is int and n >= 0 for n in numbers)
    return numbered and all(type(text) is str for text in texts) and type(record.left) is bool
