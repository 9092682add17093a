"""The command `gateline` in a separate process."""

import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GATELINE_")},
    "COLUMNS": "200",
    "NO_COLOR": "1",
    "TERM": "dumb",
}


def gateline(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    env = ENVIRONMENT | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=cwd, timeout=300)
