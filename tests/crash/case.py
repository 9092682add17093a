"""A copy of a line, and what is seen of it while and after something is done to it."""

import re
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import checks, matrix, victim
from tests.crash.matrix import MODEL, State


@dataclass
class Case:
    """A copy of a state, and what is seen of it."""

    state: State
    folder: Path
    data_dir: Path
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root, self.log = self.folder / "root", self.folder / "log"
        self.shelf = self.root / "serving" / MODEL
        self.poller = checks.Poller(self.shelf)

    def copy(self) -> None:
        if self.state.root.exists():
            shutil.copytree(self.state.root, self.root, dirs_exist_ok=True)

    def start(self, *more: str, hooks: victim.Installed | None = None, root: Path | None = None) -> int:
        return victim.start(
            [*matrix.command(root or self.root, self.data_dir, self.state.seed), *more], self.log, hooks
        )

    def run(
        self,
        *more: str,
        hooks: victim.Installed | None = None,
        after: float | None = None,
        number: int = signal.SIGKILL,
    ) -> int:
        before = self.log.stat().st_size if self.log.exists() else 0
        code = victim.wait([self.start(*more, hooks=hooks)], self.poller, after, number)[0]
        self.said = self.log.read_text(encoding="utf-8")[before:]
        self.judge(code)
        return code

    def judge(self, code: int) -> None:
        """An end in words, with a way out."""
        if "Traceback" in self.said:
            self.found.append(f"a traceback: {self.said[self.said.rindex('Traceback') :][:2000]}")
        elif code > 0 and not re.search(r"^\w+: .+\n  \S.+\Z", self.said.strip("\n"), re.MULTILINE):
            self.found.append(f"it ended with {code}, without a remedy: {self.said[-300:]}")
        elif "Run again with -v" in self.said:
            self.found.append(f"it ended with {code}, and nobody foresaw why: {self.said[-300:]}")

    def recover(self) -> None:
        """What was done is undone: the next run completes, and reuses what stood."""
        self.found += checks.after_a_kill(self.root)
        stood = checks.complete(self.root)
        if (code := self.run()) != 0:
            self.found.append(f"the next run ended with {code}: {self.said[-300:]}")
        else:
            self.found += checks.after_the_next_run(self.root, self.shelf, stood, self.state.models)
