"""Limits of the serving check."""

from typing import Annotated

from pydantic import Field

from schemas.settings.base import Positive, Settings

Batches = Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=1, max_length=8)]


class Serving(Settings):
    """What a model may take and must keep, in a process that knows TensorFlow only."""

    load_seconds: Positive = Field(
        20.0, description="longest time to load the SavedModel, TensorFlow's import not counted"
    )
    latency_ms: Positive = Field(50.0, description="longest median time of one image, through either signature")
    p99_ms: Positive = Field(500.0, description="what 99 of 100 calls with one image must keep")
    memory_mb: Positive = Field(
        2000.0, description="memory beside TensorFlow itself, in 10^6 bytes; what takes more is stopped"
    )
    batches: Batches = Field([1, 8, 32], description="batch sizes to measure, and to warm the served model up with")
    tolerance: Positive = Field(1e-4, description="largest difference to the evaluator's probabilities")
    timeout_seconds: Positive = Field(300.0, description="after which the check is a refusal")
    allow_incompatible: bool = Field(False, description="let pass a model that cannot be called as the served one is")
