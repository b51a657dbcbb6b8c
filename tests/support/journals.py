"""What the journals below a folder claim."""

from chunkdl.core.journal_codec import claims, decode


def claimed_bytes(folder):
    """Bytes of part files that are on record, while they are written too."""
    journals = folder.rglob("*.chunkdl-journal")
    return sum(len(each.range) for path in journals for each in claims(decode(path.read_bytes()).records))
