"""Calls of the span stages with settings for tests."""

import json

from components.admit import admit
from schemas.settings.spans import Drift, Window
from schemas.settings.validate import Validate

ALL = {"window": Window(), "weight": 1.0, "base_weight": 1.0}


def admit_spans(collected, statistics, mnist, run, *, served=None, **drift):
    return admit.function(
        collected, statistics, served, contract=mnist, checks=Validate(), drift=Drift(**drift), run=run
    )


def rows(admission):
    return {row["span"]: row for row in json.loads((admission.path / "spans.json").read_text(encoding="utf-8"))}
