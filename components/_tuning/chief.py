"""The chief of a search in parallel: one oracle, asked by workers through keras-tuner's own gRPC service.

with serving(oracle, "127.0.0.1:0") as service:
    local_workers(service, work, 2, say)      # processes on this machine, until the oracle has no more to try
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
from typing import Any

from etils import epy

from components._tuning.trials import Say, Work
from schemas.errors import ConfigurationError, GatelineError

with epy.lazy_imports():
    import grpc
    import keras_tuner
    from keras_tuner.src import protos
    from keras_tuner.src.distribute import oracle_chief

ADDRESS, PORT, NAME = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"


@dataclass(frozen=True)
class Service:
    """An oracle that can be asked at `address`:`port`."""

    oracle: "keras_tuner.Oracle"
    servicer: Any
    address: str
    port: int

    def wait(self) -> None:
        """Until the oracle has no more to try and no worker, wherever it runs, still tries something."""
        while not self.servicer.stop_triggered or self.oracle.ongoing_trials or self.oracle.tuner_ids:
            time.sleep(0.5)


@contextlib.contextmanager
def serving(oracle: "keras_tuner.Oracle", address: str, port: int = 0) -> Iterator[Service]:
    """The oracle's service. Port 0 is any that is free.

    keras-tuner's own loop round it looks every 20 seconds whether it is done, and waits for a dead worker for ever.

    Raises:
        ConfigurationError: the port cannot be had.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    servicer = oracle_chief.OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
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


def local_workers(service: Service, work: Work, count: int, say: Say) -> None:
    """Run `count` workers, each a process, until each has ended. The trial of a worker that dies goes to another.

    Raises:
        GatelineError: all died, or the last one did with its trial. Finished trials are kept.
    """
    workers = [_Worker(f"worker{i}", service, work, say) for i in range(1, count + 1)]
    try:
        for worker in workers:
            worker.thread.join()
    finally:
        for worker in workers:
            worker.end()
    if service.oracle._retry_queue or all(worker.process.returncode for worker in workers):
        codes = ", ".join(str(worker.process.returncode) for worker in workers)
        remedy = "The log says what they met. Run the same command again: finished trials are kept."
        raise GatelineError(f"the search's workers died (exit codes {codes})", remedy)


@dataclass
class _Worker:
    """A process that tries what the service says, and the thread that listens to it."""

    name: str
    service: Service
    work: Work
    say: Callable[[str], None]
    process: "subprocess.Popen[str]" = field(init=False)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        where = {NAME: self.name, ADDRESS: self.service.address, PORT: str(self.service.port)}
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "components._tuning.trials"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | where | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # Ctrl-C is the chief's to answer
        )
        self.thread = threading.Thread(
            target=self._listen, name=f"{self.name}, process {self.process.pid}", daemon=True
        )
        self.thread.start()

    def _listen(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(self.work.as_json() + "\n")
            self.process.stdin.flush()  # and left open: it closes when the chief ends, however that happens
        for line in self.process.stdout:
            self.say(line.rstrip("\n"))
        # What a dead worker was trying is to be tried by another. Without keras-tuner's lock, which whatever was raised
        # under it would have left locked.
        if self.process.wait() and (trial := self.service.oracle.ongoing_trials.pop(self.name, None)):
            self.service.oracle._retry_queue.append(trial.trial_id)
            self.say(f"{self.name} died (exit code {self.process.returncode}) in trial {trial.trial_id}")
        self.service.oracle.tuner_ids.discard(self.name)

    def end(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # which ends it
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
