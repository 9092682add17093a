"""Columns of a table as slices of the evaluation, and gates on them."""

import imagecodecs
import numpy as np
import pytest

from components.ingest import ingest
from components.sources.reading import place_of
from schemas.errors import ConfigurationError
from schemas.settings.evaluate import Evaluate
from schemas.settings.source import Table
from tests.components import pictures
from tests.components.evaluations import changed, evaluated, predicted, read
from tests.conftest import UNPREPARED, lent

CAMERAS = ("A7", "Leica M, black", "")


@pytest.fixture(scope="module")
def digits(few, tmp_path_factory):
    """Digits as a table: the camera goes by turns in the test split, and seven of it are of no camera."""
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
    run = lent(tmp_path_factory.mktemp("ingest"))
    return ingest.function(UNPREPARED, source=table, place=place_of(table), encoding="raw", run=run)


def camera(i: int) -> str:
    return CAMERAS[2] if i < 7 else CAMERAS[i % 2]


def test_figures_of_a_slice_are_those_of_its_images(digits, model, mnist, lend):
    gates = changed(slices={"camera=A7": 0.2})
    settings = Evaluate(slices=["camera", ["label", "camera"]], corrupted=20)
    evaluation = evaluated(model, digits, lend(), mnist, gates=gates, settings=settings)
    slices = read(evaluation, "metrics")["candidate"]["slices"]
    labels, probabilities = predicted(evaluation)
    cameras = np.array([camera(i) for i in range(len(labels))])
    right = probabilities.argmax(1) == labels
    for value, name in zip(CAMERAS, ("A7", "Leica M black", "no value"), strict=True):
        chosen = cameras == value
        assert slices[f"camera={name}"]["count"] == chosen.sum()
        assert slices[f"camera={name}"]["accuracy"] == pytest.approx(right[chosen].mean())
        seven = chosen & (labels == 7)
        assert slices.get(f"label=7, camera={name}", {"count": 0})["count"] == seven.sum()
    assert evaluation.passed


def test_a_gate_on_a_slice_refuses_a_model(digits, model, mnist, lend):
    gates, settings = changed(slices={"camera": 0.999}, min_examples=20), Evaluate(slices=["camera"], corrupted=0)
    evaluation = evaluated(model, digits, lend(), mnist, gates=gates, settings=settings)
    assert not evaluation.passed
    assert any("camera=Leica M black" in reason for reason in evaluation.reasons), evaluation.reasons


def test_a_column_that_records_lack_is_refused(digits, model, mnist, lend):
    settings = Evaluate(slices=["lens"], corrupted=0)
    with pytest.raises(ConfigurationError, match=r"evaluate\.slices names lens, which records do not carry") as error:
        evaluated(model, digits, lend(), mnist, settings=settings)
    assert error.value.remedy == "They carry camera."
