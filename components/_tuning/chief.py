"""The chief of a parallel search: one oracle, which workers ask through keras-tuner's gRPC service.

with serving(oracle, "127.0.0.1") as service:
    local_workers(service, work, 2, log)      # processes on this machine, until the oracle has no more trials
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from etils import epy

from components._tuning import compat
from components._tuning.trials import Log, Work
from schemas.errors import ConfigurationError, GatelineError

with epy.lazy_imports():
    import grpc
    import keras_tuner

ADDRESS, PORT, NAME = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"


@dataclass(frozen=True)
class Service:
    """An oracle that serves at `address`:`port`."""

    oracle: "keras_tuner.Oracle"
    servicer: Any
    address: str
    port: int

    def wait(self) -> None:
        """Returns when the oracle has no more trials and no worker, here or elsewhere, still runs one."""
        while not self.servicer.stop_triggered or self.oracle.ongoing_trials or self.oracle.tuner_ids:
            time.sleep(0.5)


@contextlib.contextmanager
def serving(oracle: "keras_tuner.Oracle", address: str, port: int = 0) -> Iterator[Service]:
    """Serves the oracle while the block runs. Port 0 is any free port.

    Raises:
        ConfigurationError: the port is in use or not allowed.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    servicer = compat.add_service(oracle, server)
    try:
        bound = server.add_insecure_port(f"{address}:{port}")
    except RuntimeError:
        raise ConfigurationError(
            f"cannot listen at {address}:{port}", f"Name another with {ADDRESS} and {PORT}."
        ) from None
    server.start()
    try:
        yield Service(oracle, servicer, address, bound)
    finally:
        server.stop(grace=1).wait()


def local_workers(service: Service, work: Work, count: int, log: Log) -> None:
    """Runs `count` worker processes until each has ended. The trial of a worker that dies goes to another.

    Raises:
        GatelineError: all died, or the last one died in a trial. Finished trials are kept.
    """
    workers = [_Worker(f"worker{i}", service, work, log) for i in range(1, count + 1)]
    try:
        for worker in workers:
            worker.thread.join()
    finally:
        for worker in workers:
            worker.end()
    if compat.retry_queue(service.oracle) or all(worker.process.returncode for worker in workers):
        codes = ", ".join(str(worker.process.returncode) for worker in workers)
        remedy = "The log holds their errors. Run the same command again: finished trials are kept."
        raise GatelineError(f"the search's workers died (exit codes {codes})", remedy)


@dataclass
class _Worker:
    """A process that runs trials for the service, and the thread that reads its output."""

    name: str
    service: Service
    work: Work
    log: Callable[[str], None]
    process: "subprocess.Popen[str]" = field(init=False)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        where = {NAME: self.name, ADDRESS: self.service.address, PORT: str(self.service.port)}
        # Our folder first: a module of the same name in the current directory would hide ours.
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""), str(Path.cwd())]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "components._tuning.trials"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | where | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # Ctrl-C reaches the chief alone, which ends its workers
        )
        self.thread = threading.Thread(
            target=self._listen, name=f"{self.name}, process {self.process.pid}", daemon=True
        )
        self.thread.start()

    def _listen(self) -> None:
        stdin, stdout = self._pipes()
        with contextlib.suppress(BrokenPipeError):
            stdin.write(self.work.as_json() + "\n")
            stdin.flush()  # and stays open: it closes when the chief ends, in whatever manner
        for line in stdout:
            self.log(line.rstrip("\n"))
        # The trial of a dead worker goes to another. Not under keras-tuner's lock: an error raised under it would have
        # left it locked.
        if self.process.wait() and (trial := self.service.oracle.ongoing_trials.pop(self.name, None)):
            compat.retry_queue(self.service.oracle).append(trial.trial_id)
            self.log(f"{self.name} died (exit code {self.process.returncode}) in trial {trial.trial_id}")
        self.service.oracle.tuner_ids.discard(self.name)

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        return cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)

    def end(self) -> None:
        stdin, stdout = self._pipes()
        with contextlib.suppress(BrokenPipeError):
            stdin.close()  # ends the worker
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self.thread.join()
        stdout.close()
