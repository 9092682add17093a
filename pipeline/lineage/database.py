"""Connections to the lineage's database: SQLite with a write-ahead log, also for users who may only read it.

engine, read_only = connect("sqlite:///gateline/lineage.db")
"""

import contextlib
import functools
import os
import shutil
import sqlite3
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any

import sqlalchemy as sql

BUSY_TIMEOUT = 30.0  # seconds to wait while other processes write to SQLite


def connect(url: str) -> tuple[sql.Engine, bool]:
    """(engine, whether it is read-only). Read-only: a SQLite file that this user may not write.

    SQLite's write-ahead log needs write access to the folder even for readers. Without a log, or with the log of a
    running process, a read-only connection works. The log that a killed process left is read in a copy.
    """
    parsed = sql.make_url(url)
    path = Path(parsed.database or ":memory:")
    if parsed.get_backend_name() != "sqlite" or not path.exists() or _is_writable(path):
        engine = sql.create_engine(url)
        if engine.dialect.name == "sqlite":
            sql.event.listen(engine, "connect", _on_connect)
            sql.event.listen(engine, "begin", _on_begin)
        return engine, False
    log = path.with_name(f"{path.name}-wal")
    immutable = "" if log.exists() and log.stat().st_size else "&immutable=1"
    address = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro{immutable}"
    return sql.create_engine(url, creator=functools.partial(_read_only, path, address)), True


def _read_only(path: Path, address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=BUSY_TIMEOUT)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").close()
    except sqlite3.OperationalError as error:
        connection.close()
        log = path.with_name(f"{path.name}-wal")
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or not log.exists():
            raise
        return _recovered(path, log)
    return connection


def _recovered(path: Path, log: Path) -> sqlite3.Connection:
    """The database with what its log holds, in memory."""
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    with tempfile.TemporaryDirectory() as folder:
        for each in (path, log):
            shutil.copyfile(each, Path(folder) / each.name)
        with contextlib.closing(sqlite3.connect(Path(folder) / path.name)) as copy:
            copy.backup(memory)
    return memory


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins and ends transactions; the driver would not include DDL
    for pragma in (f"busy_timeout={BUSY_TIMEOUT * 1000:.0f}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        _write_ahead(connection)


def _write_ahead(connection: Any) -> None:
    """Switches the database to a write-ahead log, so that readers do not wait for writers."""
    import tenacity  # needed only once per database

    # SQLite ignores its busy_timeout here: this read becomes a write, and two of them would deadlock.
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        ),
        wait=tenacity.wait_random(0, 0.05),
        stop=tenacity.stop_after_delay(BUSY_TIMEOUT),
        reraise=True,
    )
    retrying(connection.execute, "PRAGMA journal_mode=WAL").close()


def _on_begin(connection: sql.Connection) -> None:
    # A writer takes the lock at the start and waits for it. A reader that becomes a writer would fail instead.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writing") else "BEGIN")


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)
