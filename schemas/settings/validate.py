"""Severity of anomalies in the data."""

from pydantic import Field

from schemas.settings.base import Settings, Severity


class Validate(Settings):
    """Severity of each anomaly that the schema does not cover."""

    skew: Severity = Field("error", description="a split differs from train by more than the schema's skew_comparator")
    drift: Severity = Field(
        "warning", description="train differs from the served model's by more than the schema's drift_comparator"
    )
    leakage: Severity = Field("warning", description="the same image in train or validation and in test")
    duplicates: Severity = Field("warning", description="the same image twice in one split")
    constant: Severity = Field("warning", description="images with a single colour")
