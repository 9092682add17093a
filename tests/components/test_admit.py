"""admit: spans are admitted or quarantined by the contract and by their drift."""

import numpy as np
import pytest

from schemas import statistics
from schemas.artifacts import Served
from schemas.settings.spans import READY
from tests import spans
from tests.components.span_stages import judged, rows
from tests.spans import collected


def test_sound_spans_are_admitted_and_lie_near_the_base(three_spans, base_statistics, mnist, lend):
    run = lend()
    admission = judged(three_spans, base_statistics, mnist, run)
    assert (admission.passed, admission.admitted, admission.quarantined) == (True, tuple(three_spans.spans), {})
    assert set(rows(admission)["span-0001"]["measures"]) == {"pixels", "labels", "brightness"}


def poison(directory, name, kind, images, labels):
    if kind == "other sizes":
        spans.deliver(directory, name, images[:, :20], labels, "idx")
    elif kind == "a label that is none":
        spans.deliver(directory, name, images, np.where(labels == 3, 11, labels))
    elif kind == "an empty folder":
        (directory / name).mkdir()
        (directory / name / READY).touch()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("other sizes", "span-2: image/height is 20 (50 times); mnist.pbtxt allows 28"),
        ("a label that is none", "span-2: label is 11 (5 times); mnist.pbtxt allows 0 to 9"),
        ("an empty folder", "/span-2 holds no images"),
    ],
)
def test_a_span_that_breaks_the_contract_is_quarantined_with_the_reason(
    kind, words, tmp_path, data_dir, base_statistics, mnist, lend
):
    images, labels = spans.digits(data_dir, 0, 50)
    labels = labels.copy()
    labels[labels == 3] = 4
    labels[:5] = 3
    spans.deliver(tmp_path, "span-1", images, labels)
    poison(tmp_path, "span-2", kind, images, labels)
    admission = judged(collected(tmp_path, lend()), base_statistics, mnist, lend(), brightness=99)
    assert admission.admitted == ("span-1",)
    assert admission.quarantined["span-2"].endswith(words)


def shifted(images, labels):
    return images, (labels + 1) % 10


def brighter(images, labels):
    return np.minimum(images.astype(int) * 2 + 40, 255).astype(np.uint8), labels


def lopsided(images, labels):
    return images[labels < 5], labels[labels < 5]


@pytest.mark.parametrize(
    ("spoil", "measure", "words"),
    [
        (shifted, "brightness", "is brighter or darker by"),
        (brighter, "pixels", "pixel values differ by"),
        (lopsided, "labels", "the share of"),
    ],
)
def test_a_span_that_lies_far_from_what_was_learnt_is_treated_as_the_setting_says(
    spoil, measure, words, tmp_path, data_dir, base_statistics, mnist, lend
):
    spans.deliver(tmp_path, "span-1", *spoil(*spans.digits(data_dir, 0, 300)), "idx")
    found = collected(tmp_path, lend())
    warned = judged(found, base_statistics, mnist, lend())
    assert (warned.passed, warned.admitted) == (True, ("span-1",))
    assert words in warned.drifted["span-1"]
    assert rows(warned)["span-1"]["measures"][measure]["over"]
    kept_out = judged(found, base_statistics, mnist, lend(), then="quarantine")
    assert (kept_out.passed, kept_out.admitted, list(kept_out.quarantined)) == (True, (), ["span-1"])
    stopped = judged(found, base_statistics, mnist, lend(), then="error")
    assert (stopped.passed, stopped.reasons) == (False, (warned.drifted["span-1"],))
    assert judged(found, base_statistics, mnist, lend(), then="ignore").drifted == {}


def test_drift_is_measured_from_the_training_data_of_the_served_model(
    three_spans, base_statistics, mnist, tmp_path, lend
):
    version = tmp_path / "served" / "4"
    (version / statistics.SERVED).parent.mkdir(parents=True)
    learnt = statistics.read(base_statistics.path / "stats.tfrecord")
    for feature in learnt["train"].features:
        for custom in feature.custom_stats:
            if custom.name == "brightness of label 3":
                custom.num += 100
    statistics.write(version / statistics.SERVED, learnt.values())
    admission = judged(three_spans, base_statistics, mnist, lend(), served=Served(version, digest="x", version=4))
    assert "is far from version 4's training data: label 3 is brighter or darker" in admission.drifted["span-0001"]
