"""A PostgreSQL server for tests: in a temporary directory, on a Unix socket, with a password.

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
NO_FSYNC = "fsync=off"  # faster; the tests do not need durability


def binaries() -> Path | None:
    """The directory of the server's programs; on Debian it is not in PATH."""
    directories = [Path(program).resolve().parent for program in [shutil.which("postgres")] if program]
    return next(
        (p for p in [*directories, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))] if (p / "initdb").exists()), None
    )


def missing() -> str | None:
    """Why no server can be started, or None."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed: pip install gateline[postgres]"
    return None if binaries() else "PostgreSQL is not installed: apt-get install postgresql"


@contextlib.contextmanager
def server() -> Iterator[Callable[[], str]]:
    import psycopg

    folder, programs = Path(tempfile.mkdtemp(prefix="pg-")), binaries()
    assert programs
    # PostgreSQL refuses to run as root.
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, user["user"], user["group"])
    initdb = [
        programs / "initdb",
        "-D",
        folder / "data",
        "-U",
        "gateline",
        "-A",
        "scram-sha-256",
        f"--pwfile={folder}/password",
        "-E",
        "UTF8",
        "-N",
    ]
    control = [programs / "pg_ctl", "-D", folder / "data", "-s", "-w", "-l", folder / "log"]
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c {NO_FSYNC}"
    try:
        subprocess.run(initdb, cwd=folder, check=True, stdout=subprocess.DEVNULL, **user)
        subprocess.run([*control, "start", "-o", options], cwd=folder, check=True, stdout=subprocess.DEVNULL, **user)
        numbers = itertools.count(1)

        def new_database() -> str:
            name = f"d{next(numbers)}"
            with psycopg.connect(
                f"host={folder} user=gateline password={PASSWORD} dbname=postgres", autocommit=True
            ) as c:
                c.execute(f"CREATE DATABASE {name}")
            return f"postgresql+psycopg://gateline:{PASSWORD}@/{name}?host={folder}"

        yield new_database
    finally:
        subprocess.run(
            [*control, "stop", "-m", "immediate"], cwd=folder, check=False, stdout=subprocess.DEVNULL, **user
        )
        shutil.rmtree(folder, ignore_errors=True)
