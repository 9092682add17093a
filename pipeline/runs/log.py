"""Messages of TensorFlow, absl, Beam and Python's warnings go to the run's log file, not to the terminal."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from schemas.process import set_keras_environment


@contextlib.contextmanager
def quiet(log: Path, *, verbose: bool) -> Iterator[TextIO]:
    """The terminal's stderr, while file descriptor 2 writes to `log`; with `verbose` both go to the terminal.

    The file descriptor, because native code of TensorFlow and gRPC does not use Python's `sys.stderr`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "1")
    set_keras_environment()
    if verbose:
        logging.basicConfig(level=logging.INFO)
        yield sys.stderr
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with log.open("ab", buffering=0) as file, os.fdopen(os.dup(saved), "w", buffering=1, encoding="utf-8") as terminal:
        os.dup2(file.fileno(), 2)
        logging.basicConfig(level=logging.WARNING)
        logging.captureWarnings(True)
        warnings.simplefilter("default")
        try:
            yield terminal
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
