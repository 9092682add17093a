"""Folders that one command alone finds mounted otherwise."""

import shutil
import subprocess
from pathlib import Path

import pytest


def read_only(folder: Path) -> tuple[str, ...]:
    """What to put before a command, so that to it alone `folder` is read-only: permissions do not bind the superuser.

    Skips the test where nothing can be mounted.
    """
    mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}' && exec \"$0\" \"$@\""
    before = ("unshare", "--mount", "sh", "-c", mount)
    if not shutil.which("unshare") or subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted read-only here")
    return before
