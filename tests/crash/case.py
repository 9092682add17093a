"""A copy of a line's state, and the findings while and after a fault is injected."""

import re
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import checks, forked_run, matrix
from tests.crash.matrix import MODEL, State


@dataclass
class Case:
    """A copy of a state, and the findings about it."""

    state: State
    folder: Path
    data_dir: Path
    findings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root, self.log = self.folder / "root", self.folder / "log"
        self.model_directory = self.root / "serving" / MODEL
        self.poller = checks.Poller(self.model_directory)

    def copy(self) -> None:
        if self.state.root.exists():
            shutil.copytree(self.state.root, self.root, dirs_exist_ok=True)

    def start(self, *arguments: str, hooks: forked_run.Installed | None = None, root: Path | None = None) -> int:
        return forked_run.start(
            [*matrix.command(root or self.root, self.data_dir, self.state.seed), *arguments], self.log, hooks
        )

    def run(
        self,
        *arguments: str,
        hooks: forked_run.Installed | None = None,
        after: float | None = None,
        number: int = signal.SIGKILL,
    ) -> int:
        before = self.log.stat().st_size if self.log.exists() else 0
        code = forked_run.wait([self.start(*arguments, hooks=hooks)], self.poller, after, number)[0]
        self.output = self.log.read_text(encoding="utf-8")[before:]
        self.check_end(code)
        return code

    def check_end(self, code: int) -> None:
        """A failure must have a message and a remedy."""
        if "Traceback" in self.output:
            self.findings.append(f"a traceback: {self.output[self.output.rindex('Traceback') :][:2000]}")
        elif code > 0 and not re.search(r"^\w+: .+\n  \S.+\Z", self.output.strip("\n"), re.MULTILINE):
            self.findings.append(f"it ended with {code}, without a remedy: {self.output[-300:]}")
        elif "Run again with -v" in self.output:
            self.findings.append(f"it ended with {code}, with an unexpected error: {self.output[-300:]}")

    def recover(self) -> None:
        """After the fault, the next run must complete and reuse all complete artifacts."""
        self.findings += checks.after_a_kill(self.root)
        complete_before = checks.complete(self.root)
        if (code := self.run()) != 0:
            self.findings.append(f"the next run ended with {code}: {self.output[-300:]}")
        else:
            self.findings += checks.after_the_next_run(
                self.root, self.model_directory, complete_before, self.state.models
            )
