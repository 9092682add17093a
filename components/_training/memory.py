"""Memory that a finished training held."""

import ctypes
import gc

from etils import epy

with epy.lazy_imports():
    import keras


def release() -> None:
    """Frees networks and datasets that nothing refers to, and gives the memory back to the system.

    Otherwise the C library keeps it, and the next stage of the same process takes its own in addition.
    """
    keras.backend.clear_session()
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # only glibc has it
        trim(0)
