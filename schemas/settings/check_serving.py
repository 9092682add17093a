"""Limits of the serving check."""

from typing import Annotated

from pydantic import Field

from schemas.settings.base import Positive, Settings

Batches = Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=1, max_length=8)]


class Serving(Settings):
    """Limits of a model in a process that imports only TensorFlow."""

    load_seconds: Positive = Field(
        20.0, description="longest time to load the SavedModel, without the import of TensorFlow"
    )
    latency_ms: Positive = Field(50.0, description="largest median latency of a single-image call over all signatures")
    p99_ms: Positive = Field(500.0, description="largest 99th-percentile latency of a single-image call")
    memory_mb: Positive = Field(
        2000.0,
        description="memory in addition to TensorFlow itself, in 10^6 bytes; a process that takes more is stopped",
    )
    batches: Batches = Field([1, 8, 32], description="batch sizes of the measurement and of the warm-up requests")
    tolerance: Positive = Field(1e-4, description="largest difference from the evaluator's probabilities")
    timeout_seconds: Positive = Field(300.0, description="seconds after which the check fails")
    allow_incompatible: bool = Field(False, description="accept a model that clients of the served one cannot call")
