"""Two runs side by side, on stores that hold what the stages leave: answers, from which all figures follow."""

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
from pipeline.report import compare
from pipeline.store import Store, facts
from schemas.artifacts import Artifact, Evaluation, Examples, Statistics
from schemas.errors import ConfigurationError
from tests.pipeline import finished_run
from tests.pipeline.command_line import gateline
from tests.pipeline.predictions import Predictions

N = 1000
LABELS = np.arange(N) % 10
OLD = np.arange(N) >= 60  # right on all but the first 60
NEW = (np.arange(N) >= 40) & (np.arange(N) != 500)  # 20 gained, one lost


def evaluated(
    root: Path,
    right: np.ndarray,
    *,
    test: bytes = b"the test images",
    train: bytes = b"train",
    leaked: tuple[int, ...] = (),
    indices: np.ndarray | None = None,
    config: dict[str, Any] | None = None,
    ends: int = 600,
) -> int:
    """A run whose model was right on these images: its number. Predictions lie in two shards, which end at `ends`."""
    store, lineage = Store(root), Lineage.at(root, None)
    number = lineage.start(profile="mnist", command="python -m pipeline run -p mnist", config=config or {})
    for stage in ("ingest", "describe", "evaluate"):
        key = f"{stage}{number}"
        with store.staging(stage, key) as out:
            made: Artifact
            if stage == "ingest":
                (out / "test-00000-of-00001.tfrecord").write_bytes(test)
                (out / "train-00000-of-00001.tfrecord").write_bytes(train)
                made = Examples(out, splits={}, source="mnist:3.0.1", test=hashlib.sha256(test).hexdigest())
            elif stage == "describe":
                Statistics.write_leaked(out, "test", leaked)
                made = Statistics(out, counts={"test": N})
            else:
                Evaluation.write_results(out, [], {"candidate": metrics(right)}, [])
                predict(out / "predictions", right, np.arange(N) if indices is None else indices, ends)
                figures = {"accuracy": float(right.mean()), "loss": 0.1}
                tested = hashlib.sha256(test).hexdigest()
                made = Evaluation(out, passed=True, saved_model="5" * 64, test=tested, **figures)
            artifact = store.commit(made, stage, key, {}, now())
        place = {"key": key, "digest": artifact.digest, "path": str(artifact.path), "facts": facts(artifact)}
        lineage.executed(number, stage, state="ran", why="first time", seconds=1.0, **place)
    lineage.finish(number, state="pushed", exit_code=0)
    lineage.engine.dispose()
    return number


def predict(folder: Path, right: np.ndarray, indices: np.ndarray, ends: int) -> None:
    folder.mkdir()
    probabilities = np.full((N, 10), 0.05, np.float32)
    probabilities[np.arange(N), np.where(right, LABELS, (LABELS + 1) % 10)] = 0.55
    for name, part in (("a", slice(0, ends)), ("b", slice(ends, N))):
        columns = {
            "index": pa.array(indices[part]),
            "label": pa.array(LABELS[part]),
            "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(probabilities[part].ravel()), 10),
        }
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def metrics(right: np.ndarray) -> dict[str, Any]:
    def row(some: np.ndarray) -> dict[str, Any]:
        interval = paired.interval(int(some.sum()), len(some))
        return {
            "count": len(some),
            "accuracy": float(some.mean()),
            "interval": list(interval),
            "loss": 0.1,
            "brier": 0.02,
            "ece": None,
        }

    return {"overall": row(right), "slices": {f"label={k}": row(right[k == LABELS]) for k in range(10)}}


def beside(root: Path, old: int, new: int) -> compare.RunComparison:
    lineage = Lineage.at(root, None)
    try:
        runs = [lineage.run(number) for number in (old, new)]
        assert all(runs)
        return compare.compare(Store(root), lineage, *runs)
    finally:
        lineage.engine.dispose()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Run 1 made OLD, run 2 made NEW."""
    root = tmp_path / "root"
    evaluated(root, OLD, config={"train": {"epochs": 3, "seed": 1}})
    evaluated(root, NEW, config={"train": {"epochs": 5, "seed": 1, "early_stopping": {"patience": 2}}}, ends=300)
    return root


def test_the_paired_verdict_is_of_the_second_run_against_the_first(root: Path) -> None:
    found = beside(root, 1, 2)
    assert found.refusal is None
    assert {name: found.paired[name] for name in ("verdict", "only_candidate", "only_other", "both", "neither")} == {
        "verdict": "better",
        "only_candidate": 20,
        "only_other": 1,
        "both": 939,
        "neither": 40,
    }
    assert found.paired["words"].startswith("1.90 points better than run 1 (")
    assert beside(root, 2, 1).paired["verdict"] == "worse"


def test_margin_and_level_are_those_of_the_second_run(root: Path) -> None:
    third = evaluated(root, OLD, config={"gates": {"paired": {"margin": 0.1, "alpha": 0.01}}})
    found = beside(root, 2, third).paired
    assert (found["margin"], found["alpha"], found["verdict"]) == (0.1, 0.01, "equivalent")


def test_only_the_settings_that_differ_are_listed_and_by_dotted_keys(root: Path) -> None:
    assert beside(root, 1, 2).configuration == [
        {"key": "train.epochs", "old": 3, "new": 5},
        {"key": "train.early_stopping.patience", "old": None, "new": 2},
    ]


def test_data_is_told_by_source_digests_and_counts(root: Path) -> None:
    third = evaluated(root, NEW, train=b"other train")
    data = {row["what"]: (row["old"], row["new"]) for row in beside(root, 1, third).data}
    assert data["source"] == ("mnist:3.0.1", "mnist:3.0.1")
    assert data["test images"] == (N, N)
    assert data["examples"][0] != data["examples"][1]


def test_another_contract_is_a_difference(tmp_path: Path) -> None:
    root = Store(tmp_path / "root").root
    answers = Predictions.random(n=200)
    for names in ((), (), tuple("abcdefghij")):
        finished_run.finish(root, answers, names=names)
    of_1, of_2, of_3 = (
        next(row for row in beside(root, *pair).data if row["what"] == "contract") for pair in ((2, 1), (1, 2), (2, 3))
    )
    assert of_1["old"] == of_1["new"] == of_2["new"] == of_3["old"] != of_3["new"]


def test_the_same_test_images_are_enough_whatever_train_is(root: Path) -> None:
    third = evaluated(root, NEW, train=b"other train")
    assert beside(root, 1, third).paired["verdict"] == "better"


def test_images_are_joined_by_their_index_not_by_their_row(root: Path) -> None:
    folder = root / "artifacts/evaluate/evaluate1/predictions"
    table = pq.read_table(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    pq.write_table(table.take(np.random.default_rng(1).permutation(N)), folder / "a.parquet")
    found = beside(root, 1, 2).paired
    assert (found["only_candidate"], found["only_other"]) == (20, 1)


def test_images_that_either_run_saw_in_train_are_left_out(root: Path) -> None:
    third = evaluated(root, NEW, leaked=tuple(range(50)))
    found = beside(root, 1, third).paired
    assert (found["only_candidate"], found["only_other"], found["both"], found["neither"]) == (10, 1, 939, 0)


def test_an_answer_that_is_no_number_is_wrong(tmp_path: Path) -> None:
    root = tmp_path / "root"
    evaluated(root, np.ones(N, bool))
    evaluated(root, np.ones(N, bool))
    path = root / "artifacts/evaluate/evaluate2/predictions/a.parquet"
    table = pq.read_table(path)
    nothing = pa.FixedSizeListArray.from_arrays(pa.array(np.full(600 * 10, np.nan, np.float32)), 10)
    pq.write_table(table.set_column(2, "probabilities", nothing), path)
    assert beside(root, 1, 2).paired["only_other"] == 600


def test_slices_differ_where_the_interval_leaves_out_zero(tmp_path: Path) -> None:
    root = tmp_path / "root"
    worse = np.where(LABELS == 8, np.arange(N) >= 300, True)
    evaluated(root, np.ones(N, bool))
    evaluated(root, worse)
    found = beside(root, 1, 2)
    assert [row["slice"] for row in found.slices if row["beyond_noise"]] == ["label=8"]
    assert next(row["difference"] for row in found.slices if row["slice"] == "label=8") == pytest.approx(-0.3)


def test_newcombe_agrees_with_his_example() -> None:
    # Newcombe 1998, table II: 56/70 against 48/80, method 10 gives 0.0524 to 0.3339.
    rows = [{"accuracy": k / n, "interval": list(paired.interval(k, n))} for k, n in ((48, 80), (56, 70))]
    assert compare.newcombe(*rows) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("other", [{"test": b"other images"}, {"indices": np.arange(N) + 7}])
def test_other_test_images_are_not_paired_and_the_rest_is_shown(root: Path, other: dict[str, Any]) -> None:
    third = evaluated(root, NEW, **other)
    found = beside(root, 1, third)
    assert found.paired is None
    assert found.refusal.cause == "runs 1 and 3 were not evaluated on the same test images"
    assert found.overall[0]["new"] == pytest.approx(NEW.mean())


def test_a_gone_evaluation_leaves_what_the_lineage_knows(root: Path) -> None:
    shutil.rmtree(root / "artifacts/evaluate/evaluate1")
    found = beside(root, 1, 2)
    assert found.refusal.cause == "the evaluation of run 1 was deleted from the store or replaced"
    assert found.refusal.remedy == "Recreate it: python -m pipeline run -p mnist"
    assert [row["figure"] for row in found.overall] == ["accuracy", "loss", "brier", "ece"]
    assert found.overall[0]["old"] == pytest.approx(OLD.mean())
    assert found.slices == []


def test_a_damaged_evaluation_is_named(root: Path) -> None:
    (root / "artifacts/evaluate/evaluate2/predictions/b.parquet").write_text("no such thing", encoding="utf-8")
    assert beside(root, 1, 2).refusal.cause.startswith("the predictions of run 2 cannot be read: ")


def test_a_run_that_did_not_come_to_the_gates_is_said_to(root: Path) -> None:
    lineage = Lineage.at(root, None)
    third = lineage.start(profile="mnist", command="", config={})
    lineage.finish(third, state="failed", exit_code=1)
    lineage.engine.dispose()
    assert beside(root, 1, third).refusal.cause == "run 3 has no evaluation: it ended as failed"


def test_the_same_run_twice_is_refused(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="run 1 cannot be compared with itself"):
        beside(root, 1, 1)


def test_the_command_shows_both_runs_and_the_verdict(root: Path) -> None:
    done = gateline("compare", 1, 2, "--root", root)
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("run 2: 1.90 points better than run 1 (")
    rows = [" ".join(line.split()) for line in rest]
    assert "settings train.epochs 3 5" in rows
    assert "model accuracy 0.9400 0.9590" in rows
    assert any(row.endswith("of 10 slices differ by more than noise (95 % interval)") for row in rows)


def test_the_command_prints_json_for_programs(root: Path) -> None:
    found = json.loads(gateline("compare", 1, 2, "--root", root, "--json").stdout)
    assert (found["paired"]["verdict"], found["unpaired"], len(found["slices"])) == ("better", None, 10)


@pytest.mark.parametrize(("new", "cause"), [(1, "run 1 cannot be compared with itself"), (9, "there is no run 9 in")])
def test_what_cannot_be_compared_is_one_line_and_exit_code_2(root: Path, new: int, cause: str) -> None:
    done = gateline("compare", 1, new, "--root", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"configuration: {cause}")
    assert len(done.stderr.splitlines()) == 2


def test_what_cannot_be_paired_is_shown_and_then_exits_with_2(root: Path) -> None:
    third = evaluated(root, NEW, test=b"other images")
    done = gateline("compare", 1, third, "--root", root)
    assert done.returncode == 2
    assert "accuracy" in done.stdout
    assert done.stderr.startswith("configuration: runs 1 and 3 were not evaluated on the same test images\n")
