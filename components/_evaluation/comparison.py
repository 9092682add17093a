"""The candidate compared with the served model and with the best model ever served, image by image."""

from pathlib import Path

from etils import epy

from components._evaluation import paired
from schemas.artifacts import Best, Comparison, Served
from schemas.artifacts.evaluation import BASELINE, BEST
from schemas.gates.budget import Budget
from schemas.gates.paired import Paired
from schemas.settings.gates import Gates

with epy.lazy_imports():
    import numpy as np
    import pyarrow.parquet as pq


def compare(
    predictions: Path,
    leaked: frozenset[int],
    gates: Gates,
    baseline: Served | None,
    best: Best | None,
    accuracy: float,
    test: str,
) -> list[Comparison]:
    """A comparison with each, where there is one. Images that are also in train are left out.

    The best model is compared image by image where it is still kept, and by its recorded accuracy otherwise. `test`:
    digest of the test split; `same_test` is false if the other model was measured on another one when it was pushed.
    """
    table = pq.read_table(predictions)
    counted = ~np.isin(table["index"].to_numpy(), list(leaked))
    labels = table["label"].to_numpy()[counted]

    def correct(column: str) -> "np.ndarray":
        probabilities = table[column].combine_chunks()
        values = probabilities.values.to_numpy().reshape(len(probabilities), -1)[counted]
        predicted = values.argmax(1)
        is_correct: np.ndarray = (predicted == labels) & np.isfinite(values).all(1)
        return is_correct

    def on_same_images(other: str, version: int, column: str, gate: Paired | Budget, same_test: bool) -> Comparison:
        test = paired.compare(correct("probabilities"), correct(column), margin=gate.margin, alpha=gate.alpha)
        return Comparison(other, version, test.message(f"version {version}"), test.difference, test, same_test)

    comparisons = []
    if baseline:
        same_test = baseline.test in ("", test)  # older versions do not state it
        column = f"probabilities_{BASELINE}"
        comparisons.append(on_same_images(BASELINE, baseline.version, column, gates.get(Paired), same_test))
    if best and best.kept:
        same = baseline is not None and baseline.version == best.version
        column = f"probabilities_{BASELINE if same else BEST}"
        comparisons.append(on_same_images(BEST, best.version, column, gates.get(Budget), best.same_test))
    elif best:
        comparisons.append(_recorded(best, accuracy))
    return comparisons


def _recorded(best: Best, accuracy: float) -> Comparison:
    other = "" if best.same_test else "on other test images "
    recorded = f"{best.accuracy:.4f}, recorded {other}for version {best.version}, which is no longer kept"
    message = f"accuracy {accuracy:.4f} against {recorded}"
    return Comparison(BEST, best.version, message, accuracy - best.accuracy, same_test=best.same_test)
