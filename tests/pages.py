"""The commands of a documentation page, and a reader who runs them in an empty directory."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Page:
    """A page and its fenced blocks."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self, kind: str) -> list[str]:
        return re.findall(rf"^```{kind}\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)

    @property
    def commands(self) -> list[str]:
        joined = "\n".join(self.blocks("sh")).replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


class Reader:
    """Runs commands, each in a new shell that starts in the last directory of the previous one."""

    def __init__(self, home: Path) -> None:
        self.home = self.place = home
        (home / ".venv/bin").mkdir(parents=True, exist_ok=True)
        (home / ".venv/bin/activate").write_text("", encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        clean_environment = {k: v for k, v in os.environ.items() if not k.startswith(("GATELINE_", "TFDS_"))}
        return clean_environment | {
            "HOME": str(self.home),
            "BROWSER": "true",  # what `report --open` starts
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def run(self, command: str) -> subprocess.CompletedProcess:
        place_file = self.home / ".place"
        script = f"{command}\ncode=$?; pwd > {place_file}; exit $code"
        shell = ["bash", "-c", script]
        done = subprocess.run(
            shell, cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )
        self.place = Path(place_file.read_text(encoding="utf-8").strip())
        return done


def dry_make(command: str) -> str:
    """Prints what `make` would run, because `make` is what runs these tests."""
    return f"make --dry-run -C {ROOT} {command.removeprefix('make ')}"
