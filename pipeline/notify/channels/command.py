"""Channel `command`: runs a program with the event as JSON on its stdin."""

import json
import subprocess
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, RootModel

from pipeline.notify.channels import Undelivered

TIMEOUT = 30.0  # seconds


class Command(RootModel[Annotated[list[str], Field(min_length=1)]]):
    """A program and its arguments, as a list."""

    model_config = ConfigDict(frozen=True, strict=True)
    title: ClassVar[str] = "run a program, with the event as JSON on its stdin"

    @property
    def name(self) -> str:
        return f"command {self.root[0]}"

    def send(self, event: dict[str, Any]) -> None:
        stdin = json.dumps(event) + "\n"
        try:
            done = subprocess.run(
                self.root, input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False, encoding="utf-8"
            )
        except subprocess.TimeoutExpired:
            raise Undelivered(f"it did not end within {TIMEOUT:g} seconds") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it printed no reason"])[-1]
            raise Undelivered(f"it exited with {done.returncode}: {last}", retryable=True)


KIND = Command
