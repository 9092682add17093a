"""Columns of a table as slices of the evaluation, with gates."""

import imagecodecs
import numpy as np
import pytest

from components.describe import describe
from components.ingest import ingest
from components.sources.reading import place_of
from schemas.errors import ConfigurationError
from schemas.image_counts import ImageCounts
from schemas.judgeable import SliceGates, unjudgeable
from schemas.settings.evaluate import Evaluate
from schemas.settings.source import Table
from tests.components import pictures
from tests.components.evaluations import changed, evaluated, predicted, read
from tests.conftest import UNPREPARED, folder_run

CAMERAS = ("A7", "Leica M, black", "")


@pytest.fixture(scope="module")
def digits(few, tmp_path_factory):
    """Digits as a table: cameras alternate in the test split, and seven images have no camera."""
    folder = tmp_path_factory.mktemp("digits")
    lines = ["image,label,split,camera"]
    for split in ("train", "validation", "test"):
        columns = pictures.columns(few, split)
        images = zip(columns["image"].tolist(), columns["label"].tolist(), strict=True)
        for i, (pixels, label) in enumerate(images):
            name = f"{split}-{i:04d}.png"
            content = imagecodecs.png_encode(np.frombuffer(pixels, np.uint8).reshape(28, 28))
            (folder / name).write_bytes(content)
            lines.append(f'{name},{label},{split},"{camera(i)}"')
    (folder / "digits.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    table = Table(table=str(folder / "digits.csv"))
    run = folder_run(tmp_path_factory.mktemp("ingest"))
    return ingest.function(UNPREPARED, source=table, place=place_of(table), encoding="raw", run=run)


def camera(i: int) -> str:
    return CAMERAS[2] if i < 7 else CAMERAS[i % 2]


def test_metrics_of_a_slice_cover_its_images(digits, model, mnist, new_run):
    gates = changed(slices={"camera=A7": 0.2})
    settings = Evaluate(slices=["camera", ["label", "camera"]], corrupted=20)
    evaluation = evaluated(model, digits, new_run(), mnist, gates=gates, settings=settings)
    slices = read(evaluation, "metrics")["candidate"]["slices"]
    labels, probabilities = predicted(evaluation)
    cameras = np.array([camera(i) for i in range(len(labels))])
    correct = probabilities.argmax(1) == labels
    for value, name in zip(CAMERAS, ("A7", "Leica M black", "no value"), strict=True):
        of_camera = cameras == value
        assert slices[f"camera={name}"]["count"] == of_camera.sum()
        assert slices[f"camera={name}"]["accuracy"] == pytest.approx(correct[of_camera].mean())
        of_label_7 = of_camera & (labels == 7)
        assert slices.get(f"label=7, camera={name}", {"count": 0})["count"] == of_label_7.sum()
    assert evaluation.passed


def test_a_gate_on_a_metadata_slice_refuses_a_model(digits, model, mnist, new_run):
    gates, settings = changed(slices={"camera": 0.999}, min_examples=20), Evaluate(slices=["camera"], corrupted=0)
    evaluation = evaluated(model, digits, new_run(), mnist, gates=gates, settings=settings)
    assert not evaluation.passed
    assert any("camera=Leica M black" in reason for reason in evaluation.reasons), evaluation.reasons


def test_an_unknown_column_is_refused(digits, model, mnist, new_run):
    settings = Evaluate(slices=["lens"], corrupted=0)
    with pytest.raises(
        ConfigurationError, match=r"evaluate\.slices names lens, which is not a column stored in the records"
    ) as error:
        evaluated(model, digits, new_run(), mnist, settings=settings)
    assert error.value.remedy == "They carry camera."


def test_the_images_of_each_slice_are_known_before_the_evaluation(digits, model, mnist, new_run):
    """What validate says of slices with too few images is what the gate then reports."""
    gates, settings = changed(slices={"camera": 0.2}, min_examples=20), Evaluate(slices=["camera"], corrupted=0)
    evaluation = evaluated(model, digits, new_run(), mnist, gates=gates, settings=settings)
    statistics = describe.function(digits, run=new_run())
    counts = ImageCounts.of(statistics.by_split(), len(statistics.leaked()))
    slices = read(evaluation, "metrics")["candidate"]["slices"]
    for feature in ("label", "camera"):
        counted = {f"{feature}={value}": count for value, count in counts.values[feature].items()}
        assert counted == {name: row["count"] for name, row in slices.items() if name.startswith(f"{feature}=")}
    (said,) = [each for each in unjudgeable(SliceGates.of(gates, settings), counts, mnist) if each.gate == "slices"]
    few = {gate.slice for gate in evaluation.gates() if gate.gate == "slices.camera" and gate.verdict != "passed"}
    assert (said.kind, said.images, few) == ("few", {"camera=no value": 7}, {"camera=no value"})
