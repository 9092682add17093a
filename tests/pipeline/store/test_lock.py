"""The lock of a store: one run at a time."""

import subprocess
import sys
import threading

import pytest

from pipeline.store import Store
from schemas.errors import Locked


def test_a_held_lock_is_refused_or_waited_for(store: Store) -> None:
    entered, events = threading.Event(), []

    def wait_for_lock() -> None:
        with Store(store.root).lock(wait=True):
            events.append("the waiting run began")
            entered.set()

    with store.lock(wait=False):
        with pytest.raises(Locked) as error, Store(store.root).lock(wait=False):
            raise AssertionError("two runs in one store")
        waiting = threading.Thread(target=wait_for_lock, daemon=True)
        waiting.start()
        assert not entered.wait(0.2)
        events.append("the first run ended")
    waiting.join(10)
    assert events == ["the first run ended", "the waiting run began"]
    assert (
        str(error.value)
        == f"locked: another run holds {store.root / 'lock'}\n  Wait for it with --wait, or name another --root."
    )
    assert error.value.exit_code == 5


def test_a_killed_run_holds_no_lock(store: Store) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom pipeline.store import Store\n"
        "with Store(Path(sys.argv[1])).lock(wait=False):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, store.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(Locked), store.lock(wait=False):
            raise AssertionError("two runs in one store")
        other.kill()
    with store.lock(wait=False):
        assert (store.root / "lock").exists()


def test_an_error_while_holding_the_lock_propagates_and_releases_it(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="of the user"), store.lock(wait=False):
        raise FileNotFoundError("a file of the user")
    with store.lock(wait=False):
        assert (store.root / "lock").exists()
