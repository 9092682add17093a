"""A drafted contract matches its data."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from components.sources.tfds_builder import names_of
from pipeline.runs.schema_draft import text, unused
from schemas import statistics as stats
from schemas.contract import Contract
from tests.components import pictures
from tests.pipeline.command_line import gateline


@pytest.mark.slow
def test_a_draft_states_size_classes_and_label_names(data_dir: str, tmp_path: Path) -> None:
    sets = ["source.tfds=pictures/jpeg", "source.module=tests.components.pictures", f"source.data_dir={data_dir}"]
    command = ["schema", "infer", "--root", tmp_path / "root", *(a for s in sets for a in ("--set", s)), "--out"]
    path = tmp_path / "pictures.pbtxt"
    done = gateline(*command, path)
    assert done.returncode == 0, done.stderr
    head, schema = path.read_text(encoding="utf-8").split("\n", 1)
    assert head.startswith("# DRAFT: inferred from the train split of pictures/jpeg.")
    path.write_text(schema, encoding="utf-8")
    contract = Contract.load(str(path))
    assert (contract.largest, contract.classes, contract.names) == (
        pictures.SHAPE,
        pictures.CLASSES,
        tuple(pictures.NAMES),
    )
    for out, message in (
        (path, f"configuration: {path} already exists\n  Name another file with --out.\n"),
        (
            tmp_path / "no" / "x",
            f"configuration: there is no folder {tmp_path / 'no'} to write x to\n  Create it, or name another file",
        ),
        (Path("/proc/x"), "cannot write the draft to /proc"),
    ):
        refused = gateline(*command, out)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr


def statistics(*labels: int) -> "stats.pb.DatasetFeatureStatistics":
    """Statistics of images of 8 x 8 grey pixels with these labels."""
    dataset = stats.pb.DatasetFeatureStatistics(name="train", num_examples=len(labels))
    for name, values in {"image/height": (8,), "image/width": (8,), "image/channels": (1,), "label": labels}.items():
        feature = dataset.features.add(type=stats.pb.FeatureNameStatistics.INT)
        feature.path.step.append(name)
        for value in values:
            feature.string_stats.rank_histogram.buckets.add(label=str(value), sample_count=1)
    return dataset


@pytest.mark.parametrize(
    ("names", "classes"), [((), 2), (("ant", "bee"), 2), (("ant", "bee", "cat"), 3), (("0", "1", "2"), 3)]
)
def test_a_declared_label_without_train_images_is_a_class(names: tuple[str, ...], classes: int) -> None:
    contract = Contract("own.pbtxt", text({"train": statistics(0, 1)}, names))
    assert contract.classes == classes
    assert contract.names == (() if "0" in names else names)
    assert contract.labels == (0, 1)


def test_gaps_in_the_label_numbers_are_drafted_as_unused_classes() -> None:
    draft = text({"train": statistics(1, 2, 5), "test": statistics(4)}, ())
    contract = Contract("own.pbtxt", draft)
    assert (contract.classes, contract.unused) == (6, (0, 3))
    assert draft.count("unused=") == 2
    assert unused({"train": statistics(1, 2, 4)}, tuple("01234")) == ("0", "3")
    assert unused({"train": statistics(0, 2)}, ("ant", "bee", "cat")) == ("1 (bee)",)
    named = text({"train": statistics(0, 2), "test": statistics(0)}, ("ant", "bee", "cat"))
    assert 'tag: "unused=bee"' in named
    assert Contract("own.pbtxt", named).labels == (0, 2)


def test_integer_labels_have_no_names() -> None:
    assert names_of(tfds.features.Scalar(np.int64)) == ()
    assert names_of(tfds.features.ClassLabel(names=["ant", "bee"])) == ("ant", "bee")
