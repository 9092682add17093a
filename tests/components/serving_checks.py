"""Checks of a served model with budgets that a busy machine keeps."""

from components.check_serving import check_serving
from schemas.settings.check_serving import Serving

BUDGETS = Serving(latency_ms=5000, p99_ms=5000, load_seconds=100)


def check(model, evaluation, run, budgets=BUDGETS, baseline=None):
    return check_serving.function(model, evaluation, baseline, model_name="digits", budgets=budgets, run=run)
