"""Calls of the stages of spans with the settings of tests."""

import json

from components.admit import admit
from schemas.settings.spans import Drift, Window
from schemas.settings.validate import Validate

ALL = {"window": Window(), "weight": 1.0, "base_weight": 1.0}


def judged(found, statistics_, mnist, run, *, served=None, **drift):
    return admit.function(found, statistics_, served, contract=mnist, checks=Validate(), drift=Drift(**drift), run=run)


def rows(admission):
    return {row["span"]: row for row in json.loads((admission.path / "spans.json").read_text(encoding="utf-8"))}
