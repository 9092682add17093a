"""Private parts of Keras that training needs. Each has a canary test in `tests/components/test_training_compat.py`."""

from typing import Any


def add_to_mean_loss(model: Any, loss: Any, images: int) -> None:
    """Counts a step's loss in the `loss` that `fit` reports. Only Keras's own `train_step` does it publicly."""
    model._loss_tracker.update_state(loss, sample_weight=images)
