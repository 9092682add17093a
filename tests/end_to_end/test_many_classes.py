"""A folder of 1,000 classes of photos: three commands, one sentence on the refused classes, and a small page."""

import json

import imagecodecs
import numpy as np
import pytest

from schemas.confusion import Confusion
from tests.end_to_end.digits import gateline

pytestmark = pytest.mark.slow

CLASSES, SIDE = 1000, 48
LIMIT = 3_000_000  # bytes of a page
# A model that is always wrong on a class is refused by this floor, although there are only five images of it.
SETS = ["gates.per_class=0.95", "gates.accuracy=0.01", "gates.paired.margin=0.005", "gates.budget.margin=0.008"]
SETS += ["train.epochs=1", "evaluate.corruptions=[]", "validate.skew=ignore", "train.model={kind: mlp, layers: [8]}"]


def photo(label: int, rng: np.random.Generator) -> bytes:
    """Stripes whose colour and direction depend on the label."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    ones, tens, hundreds = label % 10, label // 10 % 10, label // 100
    colour = np.array([40 + 20 * ones, 40 + 20 * tens, 40 + 20 * hundreds]) + rng.normal(0, 25, 3)
    stripes = np.sin(2 * np.pi * ((1 + ones) * x + (1 + tens) * y) + rng.uniform(0, 6))[..., None] * 40
    pixels = np.clip(colour + stripes + rng.normal(0, 12, (SIDE, SIDE, 3)), 0, 255)
    return bytes(imagecodecs.jpeg8_encode(pixels.astype(np.uint8), level=85))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work, rng = tmp_path_factory.mktemp("work"), np.random.default_rng(1)
    for split, count in (("train", 3), ("test", 5)):
        for label in range(CLASSES):
            folder = work / "photos" / split / f"lesser spotted bird {label:04d}"
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.jpg").write_bytes(photo(label, rng))
    return work


def test_a_thousand_classes_are_refused_in_one_sentence_and_reported_on_a_small_page(work):
    drafted = gateline(work, "init", "photos")
    assert "gates.per_class accepts any model on 1,000 of 1,000 classes" in drafted.stdout

    done = gateline(work, "run", *(word for each in SETS for word in ("--set", each)), code=3)
    (refusal,) = [line for line in done.stderr.splitlines() if "gates.per_class" in line]
    assert "of 1,000 classes that are below 0.95 at 95% confidence for 1,000 slices together; the worst 10: " in refusal
    assert refusal.count("lesser spotted bird") == 10
    assert len(done.stderr.splitlines()) < 80

    reported = gateline(work, "report")
    assert len(reported.stdout.splitlines()) < 40
    html, metrics = (next((work / "gateline/reports").glob(f"*.{suffix}")) for suffix in ("html", "json"))
    assert html.stat().st_size < LIMIT
    assert html.read_text(encoding="utf-8").count("<img") >= CLASSES
    confusion = Confusion.of(json.loads(metrics.read_text(encoding="utf-8"))["metrics"]["candidate"]["confusion"])
    assert (confusion.classes, sum(count for *_, count in confusion.cells)) == (CLASSES, 5 * CLASSES)
