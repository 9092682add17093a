"""admit: spans are admitted or quarantined by the contract and by drift."""

import numpy as np
import pytest

from schemas import statistics
from schemas.artifacts import Served
from schemas.settings.spans import READY
from tests import spans
from tests.components.span_stages import admit_spans, rows
from tests.spans import collected


def test_valid_spans_without_drift_are_admitted(three_spans, base_statistics, mnist, new_run):
    run = new_run()
    admission = admit_spans(three_spans, base_statistics, mnist, run)
    assert (admission.passed, admission.admitted, admission.quarantined) == (True, tuple(three_spans.spans), {})
    assert set(rows(admission)["span-0001"]["measures"]) == {"pixels", "labels", "brightness"}


def deliver_invalid(directory, name, kind, images, labels):
    if kind == "other sizes":
        spans.deliver(directory, name, images[:, :20], labels, "idx")
    elif kind == "a label outside the contract":
        spans.deliver(directory, name, images, np.where(labels == 3, 11, labels))
    elif kind == "an empty folder":
        (directory / name).mkdir()
        (directory / name / READY).touch()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other sizes", "span-2: image/height is 20 (50 times); mnist.pbtxt allows 28"),
        ("a label outside the contract", "span-2: label is 11 (5 times); mnist.pbtxt allows 0 to 9"),
        ("an empty folder", "/span-2 holds no images"),
    ],
)
def test_a_span_that_violates_the_contract_is_quarantined_with_the_reason(
    kind, message, tmp_path, data_dir, base_statistics, mnist, new_run
):
    images, labels = spans.digits(data_dir, 0, 50)
    labels = labels.copy()
    labels[labels == 3] = 4
    labels[:5] = 3
    spans.deliver(tmp_path, "span-1", images, labels)
    deliver_invalid(tmp_path, "span-2", kind, images, labels)
    admission = admit_spans(collected(tmp_path, new_run()), base_statistics, mnist, new_run(), brightness=99)
    assert admission.admitted == ("span-1",)
    assert admission.quarantined["span-2"].endswith(message)


def shifted_labels(images, labels):
    return images, (labels + 1) % 10


def brighter(images, labels):
    return np.minimum(images.astype(int) * 2 + 40, 255).astype(np.uint8), labels


def only_low_labels(images, labels):
    return images[labels < 5], labels[labels < 5]


@pytest.mark.parametrize(
    ("change", "measure", "message"),
    [
        (shifted_labels, "brightness", "is brighter or darker by"),
        (brighter, "pixels", "pixel values differ by"),
        (only_low_labels, "labels", "the share of"),
    ],
)
def test_a_drifted_span_is_handled_as_configured(
    change, measure, message, tmp_path, data_dir, base_statistics, mnist, new_run
):
    spans.deliver(tmp_path, "span-1", *change(*spans.digits(data_dir, 0, 300)), "idx")
    collected_spans = collected(tmp_path, new_run())
    admission = admit_spans(collected_spans, base_statistics, mnist, new_run())
    assert (admission.passed, admission.admitted) == (True, ("span-1",))
    assert message in admission.drifted["span-1"]
    assert rows(admission)["span-1"]["measures"][measure]["over"]
    quarantined = admit_spans(collected_spans, base_statistics, mnist, new_run(), then="quarantine")
    assert (quarantined.passed, quarantined.admitted, list(quarantined.quarantined)) == (True, (), ["span-1"])
    stopped = admit_spans(collected_spans, base_statistics, mnist, new_run(), then="error")
    assert (stopped.passed, stopped.reasons) == (False, (admission.drifted["span-1"],))
    assert admit_spans(collected_spans, base_statistics, mnist, new_run(), then="ignore").drifted == {}


def test_drift_is_measured_against_the_training_data_of_the_served_model(
    three_spans, base_statistics, mnist, tmp_path, new_run
):
    version = tmp_path / "served" / "4"
    (version / statistics.SERVED).parent.mkdir(parents=True)
    served_statistics = statistics.read(base_statistics.path / "stats.tfrecord")
    for feature in served_statistics["train"].features:
        for custom in feature.custom_stats:
            if custom.name == "brightness of label 3":
                custom.num += 100
    statistics.write(version / statistics.SERVED, served_statistics.values())
    admission = admit_spans(
        three_spans, base_statistics, mnist, new_run(), served=Served(version, digest="x", version=4)
    )
    assert "has drifted from version 4's training data: label 3 is brighter or darker" in admission.drifted["span-0001"]
