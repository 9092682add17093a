"""The serving directory, in TensorFlow Serving's layout: `SERVING/<model>/<version>/`, each version complete or absent.

directory = ModelDirectory(serving_dir, "mnist")
directory.publish(saved_model, extra, provenance, expected=digest, compared=None)   # staged, flushed, renamed
directory.latest()                                 # Version(number=3, ...)
directory.rollback(reason="slow on old phones")    # Version(number=4, ...) with the model of version 2
"""

from pipeline.serving.directory import default_dir, models, writable
from pipeline.serving.history import Record
from pipeline.serving.model_directory import ModelDirectory
from pipeline.serving.provenance import PROVENANCE
from pipeline.serving.version import Version

__all__ = ["PROVENANCE", "ModelDirectory", "Record", "Version", "default_dir", "models", "writable"]
