"""What a plan already knows of the gates: whether the test split has enough images for them.

steps = line_run.plan(config, options)
unjudgeable_gates(config, steps)      # None where the statistics of the data are not in the store yet
"""

from collections.abc import Sequence

from pipeline.config import Config
from pipeline.engine.plan import Step
from schemas.artifacts import Evaluation, Statistics
from schemas.contract import Contract
from schemas.image_counts import ImageCounts
from schemas.judgeable import SliceGates, Unjudgeable, unjudgeable


def unjudgeable_gates(config: Config, steps: Sequence[Step]) -> list[Unjudgeable] | None:
    """The gates that the test split has too few images for. None if that is known only after a stage of the plan ran.

    Empty for a part of the line that does not evaluate.

    Raises:
        DataError: the statistics are damaged.
    """
    if not any(issubclass(step.node.component.output, Evaluation) for step in steps):
        return []
    described = [step for step in steps if issubclass(step.node.component.output, Statistics)]
    statistics = described[-1].artifact
    if not isinstance(statistics, Statistics):
        return None
    counts = ImageCounts.of(statistics.by_split(), len(statistics.leaked()))
    return unjudgeable(SliceGates.of(config.gates, config.evaluate), counts, Contract.load(config.contract))
