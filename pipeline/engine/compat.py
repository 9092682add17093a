"""Private parts of Apache Beam and TensorFlow. Canary tests: `tests/pipeline/engine/test_compat.py`."""

import functools
import importlib.abc
import importlib.machinery
import sys
import threading
import types
from collections.abc import Sequence
from typing import Any

from etils import epy

with epy.lazy_imports():
    from apache_beam.options import pipeline_options
    from apache_beam.runners.portability import fn_api_runner
    from apache_beam.transforms import core


def in_process_runner() -> Any:
    """Beam's in-process runner. The public `DirectRunner` downloads the executable Prism on first use, unverified."""
    return fn_api_runner.FnApiRunner()


def options(arguments: Sequence[str] = ()) -> Any:
    """Beam's `PipelineOptions`, which parse the arguments once for each kind of option.

    Beam itself parses them at each of the 120 places that look one up: half of a small pipeline's time.
    """
    return _options_class()(list(arguments))


@functools.cache
def _options_class() -> Any:
    class Options(pipeline_options.PipelineOptions):  # type: ignore[misc]
        def view_as(self, cls: Any) -> Any:
            views = self.__dict__.setdefault("_views", {})  # Beam's __setattr__ refuses other attributes
            if cls not in views:
                views[cls] = super().view_as(cls)
            return views[cls]

    return Options


@functools.cache
def cache_signatures() -> None:
    """Makes Beam inspect each function once instead of thousands of times: saves 10 % of a stage's time on MNIST.

    A bound method has the parameters of its function, whatever the object.
    """
    inspected = core.get_function_args_defaults

    @functools.cache
    def of(function: Any) -> Any:
        return inspected(types.MethodType(function, object()))

    def cached(function: Any) -> Any:
        return of(function.__func__) if isinstance(function, types.MethodType) else inspected(function)

    core.get_function_args_defaults = cached  # type: ignore[assignment]


@functools.cache
def import_keras_when_needed() -> None:
    """Makes the import of TensorFlow leave out Keras, until something else imports it: 1.5 s less of processor time.

    TensorFlow imports it for its optimizers, and goes on where that fails. Keras needs scikit-learn and SciPy.
    """
    sys.meta_path.insert(0, _WithoutKeras())


class _WithoutKeras(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Refuses Keras while TensorFlow is imported, in the thread that imports it."""

    thread: int | None = None

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name == "tensorflow":
            self.thread = threading.get_ident()
        if name != "keras" or self.thread != threading.get_ident() or not self._is_importing_tensorflow():
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)  # TensorFlow also looks up where Keras is
        if spec:
            spec.loader = self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        raise ImportError("Keras is imported when it is needed", name=spec.name)

    @staticmethod
    def _is_importing_tensorflow() -> bool:
        spec = getattr(sys.modules.get("tensorflow"), "__spec__", None)
        return bool(getattr(spec, "_initializing", False))
