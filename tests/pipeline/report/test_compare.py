"""Comparisons of two runs, on stores with predictions from which all metrics are computed."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components._evaluation import paired
from pipeline.lineage import Lineage, now
from pipeline.report import compare, comparison_table
from pipeline.store import Store, facts
from schemas.artifacts import Artifact, Evaluation, Examples, Statistics
from schemas.errors import ConfigurationError
from tests.pipeline import finished_run
from tests.pipeline.command_line import gateline
from tests.pipeline.predictions import Predictions

N = 1000
LABELS = np.arange(N) % 10
OLD = np.arange(N) >= 60  # correct except on the first 60
NEW = (np.arange(N) >= 40) & (np.arange(N) != 500)  # 20 gained, one lost


def evaluated_run(
    root: Path,
    correct: np.ndarray,
    *,
    test: bytes = b"the test images",
    train: bytes = b"train",
    leaked: tuple[int, ...] = (),
    indices: np.ndarray | None = None,
    config: dict[str, Any] | None = None,
    shard_end: int = 600,
) -> int:
    """The number of a new run whose model is correct on these images. Its predictions are split at `shard_end`."""
    store, lineage = Store(root), Lineage.at(root, None)
    number = lineage.start(profile="mnist", command="python -m pipeline run -p mnist", config=config or {})
    for stage in ("ingest", "describe", "evaluate"):
        key = f"{stage}{number}"
        with store.staging(stage, key) as out:
            result: Artifact
            if stage == "ingest":
                (out / "test-00000-of-00001.tfrecord").write_bytes(test)
                (out / "train-00000-of-00001.tfrecord").write_bytes(train)
                result = Examples(out, splits={}, source="mnist:3.0.1", test=hashlib.sha256(test).hexdigest())
            elif stage == "describe":
                Statistics.write_leaked(out, "test", leaked)
                result = Statistics(out, counts={"test": N})
            else:
                Evaluation.write_results(out, [], {"candidate": metrics(correct)}, [])
                predict(out / "predictions", correct, np.arange(N) if indices is None else indices, shard_end)
                metrics_ = {"accuracy": float(correct.mean()), "loss": 0.1}
                test_digest = hashlib.sha256(test).hexdigest()
                result = Evaluation(out, passed=True, saved_model="5" * 64, test=test_digest, **metrics_)
            artifact = store.commit(result, stage, key, {}, now())
        columns_ = {"key": key, "digest": artifact.digest, "path": str(artifact.path), "facts": facts(artifact)}
        lineage.executed(number, stage, state="ran", why="first time", seconds=1.0, **columns_)
    lineage.finish(number, state="pushed", exit_code=0)
    lineage.engine.dispose()
    return number


def predict(folder: Path, correct: np.ndarray, indices: np.ndarray, shard_end: int) -> None:
    folder.mkdir()
    probabilities = np.full((N, 10), 0.05, np.float32)
    probabilities[np.arange(N), np.where(correct, LABELS, (LABELS + 1) % 10)] = 0.55
    for name, part in (("a", slice(0, shard_end)), ("b", slice(shard_end, N))):
        columns = {
            "index": pa.array(indices[part]),
            "label": pa.array(LABELS[part]),
            "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(probabilities[part].ravel()), 10),
        }
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def metrics(correct: np.ndarray) -> dict[str, Any]:
    def row(subset: np.ndarray) -> dict[str, Any]:
        interval = paired.interval(int(subset.sum()), len(subset))
        return {
            "count": len(subset),
            "accuracy": float(subset.mean()),
            "interval": list(interval),
            "loss": 0.1,
            "brier": 0.02,
            "ece": None,
        }

    return {"overall": row(correct), "slices": {f"label={k}": row(correct[k == LABELS]) for k in range(10)}}


def comparison_of(root: Path, old: int, new: int) -> compare.RunComparison:
    lineage = Lineage.at(root, None)
    try:
        runs = [lineage.run(number) for number in (old, new)]
        assert all(runs)
        return compare.compare(Store(root), lineage, *runs)
    finally:
        lineage.engine.dispose()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Run 1 has the predictions OLD, run 2 NEW."""
    root = tmp_path / "root"
    evaluated_run(root, OLD, config={"train": {"epochs": 3, "seed": 1}})
    evaluated_run(
        root, NEW, config={"train": {"epochs": 5, "seed": 1, "early_stopping": {"patience": 2}}}, shard_end=300
    )
    return root


def test_the_paired_verdict_compares_the_second_run_with_the_first(root: Path) -> None:
    comparison = comparison_of(root, 1, 2)
    assert comparison.refusal is None
    test = comparison.paired
    assert (test.verdict, test.only_candidate, test.only_other, test.both, test.neither) == ("better", 20, 1, 939, 40)
    assert comparison.sentence.startswith("1.90 points better than run 1 (")
    assert comparison_of(root, 2, 1).paired.verdict == "worse"


def test_margin_and_alpha_are_those_of_the_second_run(root: Path) -> None:
    third_run = evaluated_run(root, OLD, config={"gates": {"paired": {"margin": 0.1, "alpha": 0.01}}})
    comparison = comparison_of(root, 2, third_run).paired
    assert (comparison.margin, comparison.alpha, comparison.verdict) == (0.1, 0.01, "equivalent")


def test_only_changed_settings_are_listed_with_dotted_keys(root: Path) -> None:
    assert comparison_of(root, 1, 2).configuration == [
        compare.Change("train.epochs", 3, 5),
        compare.Change("train.early_stopping.patience", None, 2),
    ]


def test_data_is_compared_by_source_digests_and_counts(root: Path) -> None:
    third_run = evaluated_run(root, NEW, train=b"other train")
    data = {row.name: (row.old, row.new) for row in comparison_of(root, 1, third_run).data}
    assert data["source"] == ("mnist:3.0.1", "mnist:3.0.1")
    assert data["test images"] == (N, N)
    assert data["examples"][0] != data["examples"][1]


def test_a_changed_contract_is_listed(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    predictions = Predictions.random(n=200)
    for names in ((), (), tuple("abcdefghij")):
        finished_run.finish(root, predictions, names=names)
    first_contract, second_contract, third_contract = (
        next(row for row in comparison_of(root, *pair).data if row.name == "contract")
        for pair in ((2, 1), (1, 2), (2, 3))
    )
    assert first_contract.old == first_contract.new == second_contract.new == third_contract.old != third_contract.new


def test_runs_with_equal_test_images_are_paired_despite_different_training_data(root: Path) -> None:
    third_run = evaluated_run(root, NEW, train=b"other train")
    assert comparison_of(root, 1, third_run).paired.verdict == "better"


def test_predictions_are_joined_by_index_and_not_by_row(root: Path) -> None:
    folder = root / "artifacts/evaluate/evaluate1/predictions"
    table = pq.read_table(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    pq.write_table(table.take(np.random.default_rng(1).permutation(N)), folder / "a.parquet")
    comparison = comparison_of(root, 1, 2).paired
    assert (comparison.only_candidate, comparison.only_other) == (20, 1)


def test_images_that_leaked_in_either_run_are_excluded(root: Path) -> None:
    third_run = evaluated_run(root, NEW, leaked=tuple(range(50)))
    comparison = comparison_of(root, 1, third_run).paired
    assert (comparison.only_candidate, comparison.only_other, comparison.both, comparison.neither) == (
        10,
        1,
        939,
        0,
    )


def test_nan_probabilities_count_as_wrong(tmp_path: Path) -> None:
    root = tmp_path / "root"
    evaluated_run(root, np.ones(N, bool))
    evaluated_run(root, np.ones(N, bool))
    path = root / "artifacts/evaluate/evaluate2/predictions/a.parquet"
    table = pq.read_table(path)
    nan_values = pa.FixedSizeListArray.from_arrays(pa.array(np.full(600 * 10, np.nan, np.float32)), 10)
    pq.write_table(table.set_column(2, "probabilities", nan_values), path)
    assert comparison_of(root, 1, 2).paired.only_other == 600


def test_slices_differ_when_the_interval_excludes_zero(tmp_path: Path) -> None:
    root = tmp_path / "root"
    worse = np.where(LABELS == 8, np.arange(N) >= 300, True)
    evaluated_run(root, np.ones(N, bool))
    evaluated_run(root, worse)
    comparison = comparison_of(root, 1, 2)
    assert [row.name for row in comparison.slices if row.beyond_noise] == ["label=8"]
    assert next(row.difference for row in comparison.slices if row.name == "label=8") == pytest.approx(-0.3)


def test_of_many_differing_slices_the_worst_are_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comparison = comparison_of(root, 1, 2)
    slices = [
        compare.SliceChange(f"label={k}", 0.5, 0.3 + k / 1000, k / 1000 - 0.2, interval=(0.1, 0.2)) for k in range(1000)
    ]
    comparison_table.show(dataclasses.replace(comparison, slices=slices[::-1]))
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    start = next(i for i, row in enumerate(rows) if row.startswith("slices label=0 "))
    assert [row.split()[0] for row in rows[start + 1 : start + 24]] == [f"label={k}" for k in range(1, 24)]
    assert rows[start + 24] == "and 976 more"
    assert rows[-1] == ("1,000 of 1,000 slices differ by more than noise (95 % interval; up to 50 by chance)")


def test_newcombe_reproduces_the_published_example() -> None:
    # Newcombe 1998, table II: 56/70 against 48/80, method 10 gives 0.0524 to 0.3339.
    rows = [{"accuracy": k / n, "interval": list(paired.interval(k, n))} for k, n in ((48, 80), (56, 70))]
    assert compare.newcombe(*rows) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("other", [{"test": b"other images"}, {"indices": np.arange(N) + 7}])
def test_different_test_images_are_not_paired_but_metrics_are_shown(root: Path, other: dict[str, Any]) -> None:
    third_run = evaluated_run(root, NEW, **other)
    comparison = comparison_of(root, 1, third_run)
    assert comparison.paired is None
    assert comparison.refusal.cause == "runs 1 and 3 were not evaluated on the same test images"
    assert comparison.overall[0].new == pytest.approx(NEW.mean())


def test_with_a_deleted_evaluation_the_metrics_of_the_lineage_are_shown(root: Path) -> None:
    shutil.rmtree(root / "artifacts/evaluate/evaluate1")
    comparison = comparison_of(root, 1, 2)
    assert comparison.refusal.cause == "the evaluation of run 1 was deleted from the store or replaced"
    assert comparison.refusal.remedy == "Recreate it: python -m pipeline run -p mnist"
    assert [row.name for row in comparison.overall] == ["accuracy", "loss", "brier", "ece"]
    assert comparison.overall[0].old == pytest.approx(OLD.mean())
    assert comparison.slices == []


def test_damaged_predictions_are_named(root: Path) -> None:
    (root / "artifacts/evaluate/evaluate2/predictions/b.parquet").write_text("not Parquet", encoding="utf-8")
    assert comparison_of(root, 1, 2).refusal.cause.startswith("the predictions of run 2 cannot be read: ")


def test_a_run_without_an_evaluation_is_refused(root: Path) -> None:
    lineage = Lineage.at(root, None)
    third_run = lineage.start(profile="mnist", command="", config={})
    lineage.finish(third_run, state="failed", exit_code=1)
    lineage.engine.dispose()
    assert comparison_of(root, 1, third_run).refusal.cause == "run 3 has no evaluation: it ended as failed"


def test_the_same_run_twice_is_refused(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="run 1 cannot be compared with itself"):
        comparison_of(root, 1, 1)


def test_the_command_prints_both_runs_and_the_verdict(root: Path) -> None:
    done = gateline("compare", 1, 2, "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("run 2: 1.90 points better than run 1 (")
    rows = [" ".join(line.split()) for line in rest]
    assert "settings train.epochs 3 5" in rows
    assert "model accuracy 0.9400 0.9590" in rows
    assert any(row.endswith("of 10 slices differ by more than noise (95 % interval)") for row in rows)


def test_the_command_prints_json(root: Path) -> None:
    output = json.loads(gateline("compare", 1, 2, "--root", root, "--json").stdout)
    assert (output["paired"]["verdict"], output["unpaired"], len(output["slices"])) == ("better", None, 10)


@pytest.mark.parametrize(("new", "cause"), [(1, "run 1 cannot be compared with itself"), (9, "there is no run 9 in")])
def test_an_invalid_comparison_is_refused_with_exit_code_2(root: Path, new: int, cause: str) -> None:
    done = gateline("compare", 1, new, "--root", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"configuration: {cause}")
    assert len(done.stderr.splitlines()) == 2


def test_runs_that_cannot_be_paired_are_shown_and_exit_with_2(root: Path) -> None:
    third_run = evaluated_run(root, NEW, test=b"other images")
    done = gateline("compare", 1, third_run, "--root", root)
    assert done.returncode == 2
    assert "accuracy" in done.stdout
    assert done.stderr.startswith("configuration: runs 1 and 3 were not evaluated on the same test images\n")
