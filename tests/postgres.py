"""A PostgreSQL server of the tests' own: in a temporary directory, on a Unix socket, asking for a password.

with server() as new_database:
    url = new_database()        # "postgresql+psycopg://gateline:...@/d1?host=..."; empty
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PASSWORD = "not-to-be-seen"
ASLEEP = "fsync=off"  # what is tested is our SQL, not their disk


def binaries() -> Path | None:
    """Where the server's programs are; Debian keeps them off the path."""
    places = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
    return next(
        (p for p in [*places, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))] if (p / "initdb").exists()), None
    )


def lacking() -> str | None:
    """Why there can be no server here, or None."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed: pip install gateline[postgres]"
    return None if binaries() else "PostgreSQL is not installed: apt-get install postgresql"


@contextlib.contextmanager
def server() -> Iterator[Callable[[], str]]:
    import psycopg

    at, found = Path(tempfile.mkdtemp(prefix="pg-")), binaries()
    assert found
    # It will not run as root; that user owns nothing here but its directory.
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    (at / "password").write_text(PASSWORD, encoding="utf-8")
    if user:
        for path in (at, at / "password"):
            shutil.chown(path, user["user"], user["group"])
    initdb = [
        found / "initdb",
        "-D",
        at / "data",
        "-U",
        "gateline",
        "-A",
        "scram-sha-256",
        f"--pwfile={at}/password",
        "-E",
        "UTF8",
        "-N",
    ]
    control = [found / "pg_ctl", "-D", at / "data", "-s", "-w", "-l", at / "log"]
    options = f"-c listen_addresses= -c unix_socket_directories={at} -c {ASLEEP}"
    try:
        subprocess.run(initdb, cwd=at, check=True, stdout=subprocess.DEVNULL, **user)
        subprocess.run([*control, "start", "-o", options], cwd=at, check=True, stdout=subprocess.DEVNULL, **user)
        numbers = itertools.count(1)

        def new_database() -> str:
            name = f"d{next(numbers)}"
            with psycopg.connect(f"host={at} user=gateline password={PASSWORD} dbname=postgres", autocommit=True) as c:
                c.execute(f"CREATE DATABASE {name}")
            return f"postgresql+psycopg://gateline:{PASSWORD}@/{name}?host={at}"

        yield new_database
    finally:
        subprocess.run([*control, "stop", "-m", "immediate"], cwd=at, check=False, stdout=subprocess.DEVNULL, **user)
        shutil.rmtree(at, ignore_errors=True)
