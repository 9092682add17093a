"""Process settings that make training independent of the user's home directory and environment."""

import os
import sys

_KERAS_ENVIRONMENT = {"KERAS_BACKEND": "tensorflow"}
_IGNORED = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")  # debugging limits of every `fit`


def open_standard_streams() -> None:
    """Opens the null device for each of stdin, stdout and stderr that the caller closed (`>&-`).

    Otherwise the next file that is opened gets the descriptor 1 or 2, and what is printed goes into it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))


def set_keras_environment() -> None:
    """Selects the TensorFlow backend for this process and its children. Call it before Keras is imported."""
    os.environ.update(_KERAS_ENVIRONMENT)
    for name in _IGNORED:
        os.environ.pop(name, None)
