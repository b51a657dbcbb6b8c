"""The queue's SQLite file: opened, migrated, and its failures put into words.

Decides durability: a rollback journal and full sync. Write-ahead logging would be faster, but does not work over
network file systems (SQLite's own documentation), where homes on clusters are, and a queue writes little.
Deliberately knows no jobs.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chunkdl.errors import DiskFull, StoreBroken, StoreDenied, StoreError
from chunkdl.own_folder import make_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Another command holds the file for milliseconds; a stopped one for as long as it likes.
_BUSY_S = 10.0
# Each step brings a file of its position's version to the next; steps are never changed, only added.
_MIGRATIONS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        wish TEXT NOT NULL,
        priority INTEGER NOT NULL,
        deadline REAL,
        state TEXT NOT NULL,
        added_at REAL NOT NULL,
        not_before REAL NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        hint TEXT NOT NULL DEFAULT '',
        exit_code INTEGER,
        path TEXT,
        total_bytes INTEGER NOT NULL DEFAULT 0,
        done_bytes INTEGER NOT NULL DEFAULT 0,
        ended_at REAL
    ) STRICT;
    CREATE TABLE attempts (
        number INTEGER PRIMARY KEY,
        job TEXT NOT NULL REFERENCES jobs (id),
        began_at REAL NOT NULL,
        ended_at REAL,
        exit_code INTEGER,
        reason TEXT NOT NULL DEFAULT '',
        bytes_fetched INTEGER NOT NULL DEFAULT 0,
        bytes_wasted INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX attempts_of ON attempts (job);
    CREATE TABLE hosts (
        attempt INTEGER NOT NULL REFERENCES attempts (number),
        host TEXT NOT NULL,
        mirrors TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (attempt, host)
    ) STRICT;
    CREATE TABLE files (
        job TEXT NOT NULL REFERENCES jobs (id),
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        digest TEXT NOT NULL,
        source TEXT NOT NULL,
        attempt INTEGER NOT NULL REFERENCES attempts (number),
        PRIMARY KEY (job, path)
    ) STRICT;
    CREATE TABLE spent (
        day TEXT NOT NULL,
        mirror TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (day, mirror)
    ) STRICT;
    CREATE TABLE traffic (
        slot INTEGER NOT NULL,
        host TEXT NOT NULL,
        mirrors TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        active_s REAL NOT NULL,
        PRIMARY KEY (slot, host)
    ) STRICT;
    CREATE TABLE policy (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE jobs ADD COLUMN authenticated INTEGER;
    """,
)


def open_database(path: Path) -> sqlite3.Connection:
    """The queue's file at ``path``, made if it is absent, in the current form; one thread at a time may use it.

    Raises:
        StoreError: it is damaged, locked, written by a newer version, or cannot be made.
    """
    with told(path):
        make_own(path.parent)
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.executescript(
                "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
            )
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == len(_MIGRATIONS):
        return  # nothing is written: one can look at a queue on a disk that is full, or read-only
    with transaction(connection):
        version = _version(connection)  # again: another process may have brought it here meanwhile
        if version > len(_MIGRATIONS):
            raise StoreBroken(
                f"{path}: the queue was written by a newer chunkdl (form {version}, this one knows {len(_MIGRATIONS)})",
                hint="update chunkdl, or set CHUNKDL_STATE_DIR to another folder",
            )
        for step in _MIGRATIONS[version:]:
            for statement in filter(str.strip, step.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and nobody else writes meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls some failures back, a full disk among them
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What SQLite and the file system refuse, as ``StoreError`` that names the queue."""
    try:
        yield
    except sqlite3.Error as error:
        raise _in_words(path, error) from error
    except OSError as error:
        raise StoreDenied(f"{path}: the queue cannot be kept there: {error.strerror}", hint=_ELSEWHERE) from error


_ELSEWHERE = "set CHUNKDL_STATE_DIR to a folder that can be written"


def _in_words(path: Path, error: sqlite3.Error) -> StoreError:
    # The primary result codes of SQLite's documentation are the low byte of the extended ones.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(
            f"{path}: no space left for the queue", hint="make room and run the same again: nothing is lost"
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        held = f"{path}: another process has held the queue for {_BUSY_S:.0f} s"
        return StoreBroken(held, hint="end it, or try again later")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return StoreDenied(f"{path}: the queue cannot be written: {error}", hint=_ELSEWHERE)
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        hint = "move the file away and add the jobs again; what was fetched stays and is found"
        return StoreBroken(f"{path}: the queue is damaged: {error}", hint=hint)
    return StoreBroken(f"{path}: the queue cannot be used: {error}", hint="look at the disk under it")
