"""Redirects messages of TensorFlow, absl and Beam, and Python's warnings, to the run's log file."""

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
    """Redirects file descriptor 2 to `log`, and yields the terminal's stderr. With `verbose`, redirects nothing.

    It redirects the file descriptor because native code of TensorFlow and gRPC does not use `sys.stderr`.
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
