"""Settings of the process that decide what Keras trains, whatever the user's home and environment say."""

import os

_KERAS_ENVIRONMENT = {"KERAS_BACKEND": "tensorflow"}
_IGNORED = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")  # debugging limits of every `fit`


def set_keras_environment() -> None:
    """Selects the TensorFlow backend for this process and its children. Call it before Keras is imported."""
    os.environ.update(_KERAS_ENVIRONMENT)
    for name in _IGNORED:
        os.environ.pop(name, None)
