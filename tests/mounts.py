"""Read-only mounts that only one command sees."""

import shutil
import subprocess
from pathlib import Path

import pytest


def read_only(folder: Path) -> tuple[str, ...]:
    """The prefix of a command that sees `folder` read-only: permissions do not bind the superuser.

    Skips the test where nothing can be mounted.
    """
    mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}' && exec \"$0\" \"$@\""
    prefix = ("unshare", "--mount", "sh", "-c", mount)
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted read-only here")
    return prefix
