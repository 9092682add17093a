"""Private parts of TensorFlow Model Analysis: its verdict on metrics that our own evaluator computes.

Each has a canary test in `tests/components/test_evaluation_compat.py`.
"""

from typing import Any

from etils import epy

with epy.lazy_imports():
    from tensorflow_model_analysis.evaluators import metrics_validator
    from tensorflow_model_analysis.metrics import metric_specs


def validate(metrics: tuple[Any, dict[Any, float]], config: Any) -> Any:
    """A `ValidationResult` of (slice key, metrics by TFMA's keys) under the thresholds of an EvalConfig."""
    return metrics_validator.validate_metrics(metrics, config)


def metric_names(config: Any) -> set[str]:
    """The names of the metrics in an EvalConfig."""
    return {key.name for key, *_ in metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs)}
