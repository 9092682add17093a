"""One run of the line, from configuration to exit code: what the command `run` does, for any caller."""

import contextlib
import dataclasses
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline import logs, notify, progress, runner, serving
from pipeline.config import Config
from pipeline.dag import line
from pipeline.lineage import Lineage
from pipeline.plan import Again, Planner, Step
from pipeline.store import Store, facts
from schemas.artifacts import Artifact, Pushed
from schemas.errors import GatelineError, Interrupted


@dataclass(frozen=True)
class Session:
    """Where a run works, and how."""

    root: Path
    serving_dir: Path
    database: str | None = None
    again: Again = Again()
    beam_on: runner.Beam = runner.Beam()
    wait: bool = False
    verbose: bool = False

    def plan(self, config: Config) -> list[Step]:
        """What would run and what would be reused. Nothing is written but the empty store."""
        node = line(config, self.serving_dir)
        return Planner.of(Store(self.root), self.again, node).plan(node)

    def run(self, config: Config, *, name: str, command: str) -> "Outcome":
        """Run the line.

        Raises:
            GatelineError: refused or failed, as the exit code says; recorded in the lineage before it is raised.
        """
        node = line(config, self.serving_dir)
        store = Store(self.root)
        planner = Planner.of(store, self.again, node)
        stages = [each.name for each in node.walk() if each.component.kind != "resolver"]
        with contextlib.ExitStack() as afterwards, store.lock(wait=self.wait):
            serving.writable(self.serving_dir)
            lineage = Lineage.at(self.root, self.database)
            number = lineage.start(profile=name, command=command, config=config.model_dump(mode="json", by_alias=True))
            afterwards.callback(notify.send, config.notify, self.root, lineage, number)  # its end is recorded, the lock released
            with (
                recorded(lineage, number, self.log(number)),
                logs.quiet(self.log(number), verbose=self.verbose) as terminal,
                progress.watch(Console(file=terminal, highlight=False), stages) as watching,
            ):
                execution = runner.Execution(number, node, planner, store, lineage, self.beam_on, watching)
                pushed = execution.run(planner.plan(node))
            assert isinstance(pushed, Pushed)
            lineage.finish(number, state="pushed" if pushed.new else "unchanged", exit_code=0)
            return Outcome(number, pushed, dict(execution.made))

    def log(self, number: int) -> Path:
        return self.root / "logs" / f"run-{number}.log"


@contextlib.contextmanager
def recorded(lineage: Lineage, number: int, log: Path) -> Iterator[None]:
    """However a run ends, its end is written down; that it cannot be written down hides nothing."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end: as clean a stop as Ctrl-C

    def finish(state: str, error: BaseException, exit_code: int) -> None:
        with contextlib.suppress(GatelineError):
            words = str(error) if isinstance(error, GatelineError) else f"{type(error).__name__}: {error}"
            lineage.finish(number, state=state, exit_code=exit_code, message=words[:2000])

    try:
        yield
    except GatelineError as error:
        finish("refused" if error.exit_code in (3, 4) else "failed", error, error.exit_code)
        raise
    except KeyboardInterrupt:
        stopped = Interrupted("finished stages are kept", "The next run goes on from them.")
        finish("interrupted", stopped, stopped.exit_code)
        raise stopped from None
    except BaseException as error:
        finish("failed", error, 1)
        error.add_note(f"log: {log}")
        raise


@dataclass(frozen=True)
class Outcome:
    """A run that ended well."""

    run: int
    pushed: Pushed
    made: dict[str, Artifact | None]

    def as_json(self) -> dict[str, Any]:
        stages = {name: facts(a) | {"path": str(a.path), "digest": a.digest} for name, a in self.made.items() if a}
        return {
            "run": self.run,
            "pushed": str(self.pushed.path),
            **dataclasses.asdict(self.pushed),
            "path": str(self.pushed.path),
            "stages": stages,
        }
