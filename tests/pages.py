"""The commands of a documentation page, and a reader who types them in an empty directory, with nothing of his own."""

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
        return [line for text in self.blocks("sh") for line in text.strip().splitlines()]


class Reader:
    """Types commands, each in a shell of its own that stands where the last one ended."""

    def __init__(self, home: Path) -> None:
        self.home = self.place = home
        (home / ".venv/bin").mkdir(parents=True, exist_ok=True)
        (home / ".venv/bin/activate").write_text("", encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("GATELINE_", "TFDS_"))}
        return own | {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def types(self, command: str) -> subprocess.CompletedProcess:
        where = self.home / ".place"
        typed = f"{command}\ncode=$?; pwd > {where}; exit $code"
        shell = ["bash", "-c", typed]
        done = subprocess.run(
            shell, cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )
        self.place = Path(where.read_text(encoding="utf-8").strip())
        return done


def making(command: str) -> str:
    """What `make` would do, looked at only: it is what calls these tests."""
    return f"make --dry-run -C {ROOT} {command.removeprefix('make ')}"
