"""Plots as inline SVG, and images as `data:` URLs."""

import base64
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest

from pipeline.report import class_plots, plots
from pipeline.report.pictures import BUDGET, Pictures

ROW = {"count": 100, "accuracy": 0.9, "interval": [0.85, 0.94]}
BINS = [
    {"low": i / 15, "high": (i + 1) / 15, "count": 5 * i, "confidence": (i + 0.5) / 15, "accuracy": i / 15}
    for i in range(15)
]
HISTORY = [
    {"loss": 1 / e, "val_loss": 1.2 / e, "accuracy": 1 - 0.1 / e, "val_accuracy": 1 - 0.2 / e} for e in (1, 2, 3)
]
MANY: list[tuple[str, plots.Row, plots.Row | None]] = [
    ("overall", ROW, None),
    *((str(k), {**ROW, "accuracy": k % 97 / 97}, {**ROW, "accuracy": None}) for k in range(4000)),
]
MANY_LABELS = {split: {str(k): 1 + k * k % 17 for k in range(4000)} for split in ("train", "validation", "test")}
PLOTS = {
    "accuracies": lambda: plots.accuracies([("overall", ROW, ROW), ("0", ROW, None)]),
    "robustness": lambda: plots.robustness(ROW, {"shift": ROW, "$n_1$ <b>": {**ROW, "interval": None}}, {"shift": ROW}),
    "reliability": lambda: plots.reliability(BINS),
    "labels": lambda: plots.labels({"train": {"0": 3, "10": 4}, "test": {"$2$": 1}}),
    "curve": lambda: plots.curve(HISTORY, "loss"),
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_well_formed_deterministic_and_uses_page_colours(name: str) -> None:
    svg = PLOTS[name]()
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert len(root.get("aria-label") or "") > 10
    assert svg == PLOTS[name]()
    assert "var(--accent)" in svg
    colours = set(re.findall(r"#[0-9a-f]{6}\b", svg))
    assert colours <= {"#ffffff", "#000000"}, "colours must follow the colour scheme of the page"
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg)


def test_names_in_a_plot_are_escaped() -> None:
    assert "$n_1$ &lt;b&gt;" in PLOTS["robustness"]()
    assert "$2$" in PLOTS["labels"]()


def test_plots_on_one_page_have_distinct_ids() -> None:
    ids = [set(re.findall(r'\bid="([^"]*)"', plot())) for plot in PLOTS.values()]
    assert sum(map(len, ids)) == len(set().union(*ids))


@pytest.mark.parametrize("plot", [lambda: class_plots.accuracies(MANY), lambda: class_plots.labels(MANY_LABELS)])
def test_plots_of_many_classes_are_small_whatever_their_number(plot: Callable[[], str]) -> None:
    ET.fromstring(plot())
    assert plot() == plot()
    assert len(plot()) < 120_000
    assert "var(--accent)" in plot()


def test_files_of_pictures_fit_the_budget() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (600, 64, 64, 3), np.uint8)
    for lossy in (False, True):
        pictures = Pictures.of(noise, lossy=lossy)
        assert pictures
        files = [base64.b64decode(pictures.url(i).partition(",")[2]) for i in range(len(noise))]
        assert BUDGET / 4 < sum(map(len, files)) <= BUDGET


def test_a_name_without_glyphs_in_the_font_stays_text() -> None:
    assert ">0 漢字🙂<" in plots.accuracies([("overall", ROW, None), ("0 漢字🙂", ROW, None)])


def test_a_long_name_is_shortened() -> None:
    svg = plots.accuracies([("overall", ROW, None), ("0 " + "a very long name" * 9, ROW, None)])
    assert ">0 a very long namea ver…<" in svg


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_keeps_every_pixel(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 20, channels), np.uint8)
    pictures = Pictures(images)
    assert (pictures.width, pictures.height) == (60, 84)
    header, encoded = pictures.url(2).split(",")
    assert header == "data:image/png;base64"
    np.testing.assert_array_equal(
        imagecodecs.png_decode(base64.b64decode(encoded)).reshape(28, 20, channels), images[2]
    )


@pytest.mark.parametrize(
    "shape", [(50, 300, 200, 3), (900, 64, 64, 3), (3, 1, 5000, 1), (5, 28, 28, 2), (5, 40, 40, 6)]
)
def test_large_images_are_reduced_to_the_budget(shape: tuple[int, ...]) -> None:
    pictures = Pictures(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    assert sum(len(pictures.url(row)) for row in range(len(pictures))) < 1.6 * BUDGET
    assert max(pictures.width, pictures.height) <= 84
    assert min(pictures.width, pictures.height) >= 1


def test_reduced_pixels_are_means_of_blocks() -> None:
    images = np.zeros((2, 2000, 2000, 1), np.uint8)
    images[:, :, 1000:] = 200
    reduced = imagecodecs.png_decode(base64.b64decode(Pictures(images).url(0).split(",")[1]))
    assert reduced.shape == (666, 666)
    assert (reduced[0, 0], reduced[0, -1]) == (0, 200)
    assert 60 < reduced.mean() < 140


def test_without_a_gallery_there_are_no_images() -> None:
    assert [Pictures.of(images) for images in (None, np.zeros((0, 28, 28, 1), np.uint8))] == [None, None]
