"""Keras's global settings, set by the line and not by the user's `~/.keras/keras.json` or an earlier import."""

from schemas.errors import ConfigurationError
from schemas.process import set_keras_environment


def apply() -> None:
    """Sets data format, float type, epsilon and limits to Keras's own defaults in this process.

    Raises:
        ConfigurationError: Keras cannot read its configuration file, or was imported with another backend.
    """
    set_keras_environment()
    try:
        import keras
    except ValueError as error:  # raised for a value in keras.json that Keras does not accept
        cause = f"Keras cannot use its configuration file ~/.keras/keras.json: {error}"
        raise ConfigurationError(cause, "Correct the file, or remove it: gateline does not need it.") from error
    if keras.config.backend() != "tensorflow":
        cause = f"Keras runs on the backend {keras.config.backend()}; tensorflow is needed"
        raise ConfigurationError(cause, "Set KERAS_BACKEND=tensorflow before Keras is imported.")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy("float32")
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)
