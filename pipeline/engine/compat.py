"""Private parts of Apache Beam. Canary tests: `tests/pipeline/engine/test_compat.py`."""

import functools
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
    options_: pipeline_options.PipelineOptions = _options_class()(list(arguments))
    return options_


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
