"""arrived, collect, admit and mix: new images that come in spans."""

import json
import os
import re
import shutil

import numpy as np
import pytest

from components._data.images import decoder
from components.admit import admit
from components.describe import describe
from components.ingest import ingest
from components.mix import mix
from components.sources.labelled import pieces, read
from components.sources.reading import Place
from pipeline.store.store import facts, from_facts
from schemas import files, statistics
from schemas.artifacts import Served
from schemas.errors import ConfigurationError, DataError
from schemas.settings.spans import READY, Drift, Spans, Window
from schemas.settings.validate import Validate
from tests import spans
from tests.components import pictures
from tests.conftest import SAMPLE, UNPREPARED, lent
from tests.spans import collected, come

ALL = {"window": Window(), "weight": 1.0, "base_weight": 1.0}


def judged(found, statistics_, mnist, run, *, served=None, **drift):
    return admit.function(found, statistics_, served, contract=mnist, checks=Validate(), drift=Drift(**drift), run=run)


def rows(admission):
    return {row["span"]: row for row in json.loads((admission.path / "spans.json").read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def base(data_dir, sample, tmp_path_factory):
    """The part of the sample that no span holds."""
    source = SAMPLE.model_copy(update={"train": "train[:60%]"})
    return ingest.function(UNPREPARED, source=source, place=Place(data_dir), run=lent(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def base_statistics(base, tmp_path_factory):
    return describe.function(base, run=lent(tmp_path_factory.mktemp("base-described")))


@pytest.fixture(scope="module")
def delivered(base, data_dir, tmp_path_factory):
    """Three sound spans, one in each form."""
    directory = tmp_path_factory.mktemp("delivered")
    for i, form in enumerate(("images", "idx", "records")):
        spans.deliver(directory, f"span-{i:04d}", *spans.digits(data_dir, i * 100, 100), form)
    return directory


@pytest.fixture(scope="module")
def three(delivered, tmp_path_factory):
    found = collected(delivered, lent(tmp_path_factory.mktemp("three")))
    files.write_json(found.path / files.MANIFEST, {"files": files.listing(found.path)})  # as the store would
    return found


@pytest.fixture(scope="module")
def mixed(base, base_statistics, three, mnist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    admission = judged(three, base_statistics, mnist, lent(folder / "admit"))
    return mix.function(base, base_statistics, three, admission, **ALL, run=lent(folder / "mix"))


# which spans are there


def test_spans_appear_when_they_are_complete_in_the_order_of_their_numbers(tmp_path, data_dir, base):
    images = spans.digits(data_dir, 0, 3)
    for name in ("span-10", "span-9"):
        spans.deliver(tmp_path, name, *images)
    unready = spans.deliver(tmp_path, "span-11", *images, ready=False)
    spans.deliver(tmp_path, "notes", *images)
    assert list(come(tmp_path).spans) == ["span-9", "span-10"]
    assert list(come(tmp_path, ready="rename").spans) == ["span-9", "span-10", "span-11"]
    (unready / READY).touch()
    assert list(come(tmp_path).spans) == ["span-9", "span-10", "span-11"]


def test_a_span_that_is_altered_is_another_span(tmp_path, data_dir, base):
    span = spans.deliver(tmp_path, "span-1", *spans.digits(data_dir, 0, 3))
    before = come(tmp_path)
    assert come(tmp_path).digest == before.digest
    image = next(span.glob("*/*.png"))
    image.write_bytes(image.read_bytes() + b" ")
    assert come(tmp_path).digest != before.digest


def test_a_spans_date_is_in_its_name_or_that_of_its_marker(tmp_path, data_dir, base):
    images = spans.digits(data_dir, 0, 3)
    spans.deliver(tmp_path, "span-2026-02-03", *images)
    spans.deliver(tmp_path, "span-20261331", *images)  # no date
    for name in ("span-20261331", "span-7"):
        marker = (tmp_path / name / READY) if name != "span-7" else spans.deliver(tmp_path, name, *images) / READY
        os.utime(marker, (86_400 * 366, 86_400 * 366))
    assert come(tmp_path).dates == {
        "span-7": "1971-01-02",
        "span-2026-02-03": "2026-02-03",
        "span-20261331": "1971-01-02",
    }


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=re.escape(f"spans.directory {tmp_path / 'no'} is not a directory")):
        come(tmp_path / "no")


# reading them


@pytest.mark.parametrize("form", ["images", "idx", "records"])
def test_every_form_gives_the_images_and_labels_that_were_delivered(form, tmp_path, data_dir, base):
    images, labels = spans.digits(data_dir, 0, 20)
    span = spans.deliver(tmp_path, "span-1", images, labels, form)
    found = [(image, label) for piece in pieces(span, [], 7) for image, label, _ in read(piece, "raw")]
    order = lambda pairs: sorted((label, image.tobytes()) for image, label in pairs)  # noqa: E731
    assert order(found) == order(zip(images, labels.tolist(), strict=True))
    assert {image.shape for image, _ in found} == {(28, 28, 1)}
    for encoded, raw in zip(read(pieces(span, [], 7)[0], "encoded"), found, strict=False):
        assert np.array_equal(decoder(0)(encoded[2]), raw[0])


def test_folders_may_be_named_by_their_labels_names(tmp_path, data_dir, base):
    images, labels = spans.digits(data_dir, 0, 10)
    span = spans.deliver(tmp_path, "span-1", images, labels)
    names = [f"digit {i}" for i in range(10)]
    for folder in span.glob("?"):
        folder.rename(span / f"digit {folder.name}")
    assert sorted(label for piece in pieces(span, names, 100) for _, label, _ in read(piece, "raw")) == sorted(
        labels.tolist()
    )


def test_folders_match_labels_in_either_unicode_form(tmp_path, data_dir, base):
    """macOS and some archives write "é" as two characters, a keyboard writes one."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    images, labels = spans.digits(data_dir, 0, 10)
    span = spans.deliver(tmp_path, "span-1", images, labels)
    folders = sorted(span.glob("?"))
    for folder in folders[1:]:
        shutil.rmtree(folder)
    folders[0].rename(span / decomposed)
    assert {label for piece in pieces(span, ["tea", composed], 100) for _, label, _ in read(piece, "raw")} == {1}
    shutil.copytree(span / decomposed, span / composed)
    with pytest.raises(DataError) as error:
        pieces(span, ["tea", composed], 100)
    paths = f"{span / decomposed} and {span / composed}"
    assert error.value.cause == f"{paths} have the same name in two Unicode forms"


def test_files_of_file_managers_are_ignored(tmp_path, data_dir):
    span = spans.deliver(tmp_path, "span-1", *spans.digits(data_dir, 0, 40))
    for folder in (span, span / "3"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
            (folder / name).write_text("?", encoding="utf-8")
    assert len([each for piece in pieces(span, [], 7) for each in read(piece, "raw")]) == 40


def broken(span, kind):
    if kind == "a folder that is no label":
        (span / "three").mkdir()
        return f"{span / 'three'} is not a label: without spans.labels, folders are named by the label's number"
    if kind == "a file that is no image":
        (span / "3" / "notes.txt").write_text("?", encoding="utf-8")
        return f"{span / '3' / 'notes.txt'} is not an image; .png, .jpg, .jpeg, .bmp, .gif, .webp are supported"
    if kind == "two forms":
        (span / "new.tfrecord").touch()
        return f"{span} holds 0 and new.tfrecord: images in more than one form"
    if kind == "a link":
        (span / "3" / "x.png").symlink_to(span / "3" / "y.png")
        return f"{span / '3' / 'x.png'} is a symbolic link; a span holds plain files only"
    if kind == "something else":
        (span / "labels.csv").touch()
        return f"{span / 'labels.csv'} is neither a folder of images, an IDX file nor a TFRecord"
    image = min((span / "3").iterdir())
    image.write_bytes(image.read_bytes()[:60])
    return f"{image} cannot be decoded as an image"


KINDS = [
    "a folder that is no label",
    "a file that is no image",
    "two forms",
    "a link",
    "something else",
    "a damaged image",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_span_that_cannot_be_read_is_kept_out_with_the_reason_and_the_others_go_on(
    kind, tmp_path, data_dir, base, lend
):
    images, labels = spans.digits(data_dir, 0, 40)
    spans.deliver(tmp_path, "span-1", images, labels)
    words = broken(spans.deliver(tmp_path, "span-2", images, labels), kind)
    found = collected(tmp_path, lend())
    assert found.spans["span-2"].broken == words
    assert (found.spans["span-1"].broken, found.spans["span-1"].count) == ("", 40)
    assert {p.name for p in (found.path / "span-2").iterdir()} == {"broken.json", "mark.json"}


def cut(path, to):
    path.write_bytes(path.read_bytes()[:to])


@pytest.mark.parametrize(
    ("form", "file", "to", "words"),
    [
        ("idx", "new-images-idx3-ubyte.gz", 60, "is not a complete IDX file"),
        ("idx", "new-images-idx3-ubyte.gz", 0, "it does not begin like an IDX file"),
        ("records", "new.tfrecord", 5000, "is cut short or altered"),
    ],
)
def test_a_span_that_was_cut_short_is_kept_out(form, file, to, words, tmp_path, data_dir, base, lend):
    span = spans.deliver(tmp_path, "span-1", *spans.digits(data_dir, 0, 20), form)
    cut(span / file, to)
    found = collected(tmp_path, lend()).spans["span-1"].broken
    assert str(span / file) in found
    assert words in found


def test_an_idx_pair_must_agree(tmp_path, data_dir, base, lend):
    images, labels = spans.digits(data_dir, 0, 20)
    span = spans.deliver(tmp_path, "span-1", images, labels[:19], "idx")
    message = f"{span}/new-images-idx3-ubyte.gz holds 20 images, {span}/new-labels-idx1-ubyte.gz 19 labels"
    assert collected(tmp_path, lend()).spans["span-1"].broken == message
    (span / "new-labels-idx1-ubyte.gz").unlink()
    assert collected(tmp_path, lend()).spans["span-1"].broken == f"{span} holds 1 IDX files of images and 0 of labels"


# collecting them


def test_images_are_spread_over_the_splits_by_their_pixels(three, delivered, data_dir):
    found = three.spans["span-0001"]
    assert list(found.splits) == ["train", "validation", "fresh"]
    assert found.count == 100
    assert {split: 0 < each.count < 100 for split, each in found.splits.items()} == dict.fromkeys(found.splits, True)
    assert found.splits["train"].count > 50


def test_only_new_spans_are_read_and_the_others_are_as_they_were(three, delivered, tmp_path, data_dir, lend):
    for span in delivered.iterdir():
        (tmp_path / span.name).symlink_to(span)
    spans.deliver(tmp_path, "span-0003", *spans.digits(data_dir, 300, 50))
    run = lend(before=[three])
    found = collected(tmp_path, run)
    assert run.said == ["1 new of 4 spans, 50 images"]
    for name in json.loads((three.path / files.MANIFEST).read_text(encoding="utf-8"))["files"]:
        assert (found.path / name).read_bytes() == (three.path / name).read_bytes()
    linked = found.path / "span-0001" / found.spans["span-0001"].splits["train"].shards[0]
    assert linked.stat().st_ino == (three.path / linked.relative_to(found.path)).stat().st_ino


def test_a_span_whose_records_were_altered_since_is_read_anew(three, delivered, tmp_path, lend):
    copy = tmp_path / "copy"
    shutil.copytree(three.path, copy)
    shard = copy / "span-0001" / three.spans["span-0001"].splits["train"].shards[0]
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    run = lend(before=[type(three)(copy, spans=three.spans)])
    found = collected(delivered, run)
    assert run.said == ["1 new of 3 spans, 100 images"]
    assert files.listing(found.path) == files.listing(three.path)


# judging them


def test_sound_spans_are_admitted_and_lie_near_the_base(three, base_statistics, mnist, lend):
    run = lend()
    admission = judged(three, base_statistics, mnist, run)
    assert (admission.passed, admission.admitted, admission.quarantined) == (True, tuple(three.spans), {})
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


def test_drift_is_measured_from_the_training_data_of_the_served_model(three, base_statistics, mnist, tmp_path, lend):
    version = tmp_path / "served" / "4"
    (version / statistics.SERVED).parent.mkdir(parents=True)
    learnt = statistics.read(base_statistics.path / "stats.tfrecord")
    for feature in learnt["train"].features:
        for custom in feature.custom_stats:
            if custom.name == "brightness of label 3":
                custom.num += 100
    statistics.write(version / statistics.SERVED, learnt.values())
    admission = judged(three, base_statistics, mnist, lend(), served=Served(version, digest="x", version=4))
    assert "is far from version 4's training data: label 3 is brighter or darker" in admission.drifted["span-0001"]


# mixing them


def test_the_mixture_is_described_as_if_it_had_been_described_at_once(mixed, base, lend):
    whole = describe.function(mixed, run=lend())
    for name in ("stats.tfrecord", "leaked.json", "leaked-fresh.json"):
        assert (whole.path / name).read_bytes() == (mixed.path / name).read_bytes()
    assert mixed.counts == {split: each.count for split, each in mixed.splits.items()} == whole.counts


def test_the_test_split_stays_as_it_is_and_the_newest_span_gives_a_fresh_slice(mixed, base, three):
    assert mixed.test == base.test
    assert pictures.records(mixed, "test") == pictures.records(base, "test")
    newest = three.spans["span-0002"].splits
    assert (mixed.fresh, mixed.splits["fresh"].count) == ("span-0002", newest["fresh"].count)
    learnt = {image for split in ("train", "validation") for image in pictures.columns(mixed, split)["image"].tolist()}
    assert not learnt & set(pictures.columns(mixed, "fresh")["image"].tolist())
    older = sum(three.spans[name].count for name in ("span-0000", "span-0001"))
    train_and_validation = mixed.splits["train"].count + mixed.splits["validation"].count
    assert (
        train_and_validation
        == base.splits["train"].count + base.splits["validation"].count + older + 100 - newest["fresh"].count
    )


@pytest.mark.parametrize(
    ("window", "chosen"),
    [
        ({"last": 2}, ("span-0001", "span-0002")),
        ({"only": ["span-0000"]}, ("span-0000",)),
        ({"days": 1}, ("span-0000", "span-0001", "span-0002")),
        ("all", ("span-0000", "span-0001", "span-0002")),
    ],
)
def test_the_window_chooses(window, chosen, base, base_statistics, three, mnist, lend):
    admission = judged(three, base_statistics, mnist, lend())
    found = mix.function(
        base, base_statistics, three, admission, **(ALL | {"window": Window.model_validate(window)}), run=lend()
    )
    assert found.spans == chosen
    assert found.fresh == chosen[-1]


def test_a_window_of_days_counts_from_the_newest_span(base, base_statistics, data_dir, tmp_path, mnist, lend):
    for i, date in enumerate(("2026-01-01", "2026-01-30", "2026-01-31")):
        spans.deliver(tmp_path, f"span-{date}", *spans.digits(data_dir, i * 20, 20), "idx")
    found = collected(tmp_path, lend())
    admission = judged(found, base_statistics, mnist, lend(), brightness=9, labels=1.0, pixels=9)
    within = mix.function(base, base_statistics, found, admission, **(ALL | {"window": Window(days=2)}), run=lend())
    assert within.spans == ("span-2026-01-30", "span-2026-01-31")


def test_a_window_that_names_no_span_is_refused(base, base_statistics, three, mnist, lend):
    admission = judged(three, base_statistics, mnist, lend())
    with pytest.raises(
        ConfigurationError, match=re.escape("spans.window.only names span-9, but there is no such span")
    ):
        mix.function(base, base_statistics, three, admission, **(ALL | {"window": Window(only=["span-9"])}), run=lend())


@pytest.mark.parametrize("weight", [2.0, 0.5, 1.5, 0.25])
def test_a_weight_says_how_often_an_image_counts(weight, base, base_statistics, three, mixed, mnist, lend):
    admission = judged(three, base_statistics, mnist, lend())
    found = mix.function(base, base_statistics, three, admission, **(ALL | {"base_weight": weight}), run=lend())
    of_base, of_spans = base.splits["train"].count, mixed.splits["train"].count - base.splits["train"].count
    rest = weight % 1
    noise = 4 * (of_base * rest * (1 - rest)) ** 0.5  # four standard deviations of a fair draw; none for whole weights
    assert found.splits["train"].count - of_spans == pytest.approx(weight * of_base, abs=noise)
    assert (
        len(pictures.records(found, "train")) == found.splits["train"].count
    )  # each shard that is named is there and whole
    assert found.splits["test"] == base.splits["test"]


def test_without_any_span_the_mixture_is_the_base(base, base_statistics, tmp_path, mnist, lend):
    found = collected(tmp_path, lend())
    only = mix.function(base, base_statistics, found, judged(found, base_statistics, mnist, lend()), **ALL, run=lend())
    assert list(only.splits) == ["train", "validation", "test"]
    assert only.source == base.source
    assert (only.path / "stats.tfrecord").read_bytes() == (base_statistics.path / "stats.tfrecord").read_bytes()


def test_a_mixture_is_the_same_bytes_whether_its_spans_were_just_read_or_come_from_the_store(
    base, base_statistics, data_dir, tmp_path, mnist, lend
):
    for name in ("span-9", "span-10", "span-11"):
        spans.deliver(tmp_path / "data", name, *spans.digits(data_dir, int(name[5:]) * 30, 30), "idx")
    found = collected(tmp_path / "data", lend())
    admission = judged(found, base_statistics, mnist, lend(), brightness=9, pixels=1)
    assert admission.admitted == ("span-9", "span-10", "span-11")
    made, manifest = [], json.loads(json.dumps(facts(found), sort_keys=True))
    for given in (found, from_facts(type(found), found.path, manifest)):
        mixed = mix.function(base, base_statistics, given, admission, **(ALL | {"window": Window(last=2)}), run=lend())
        made.append((facts(mixed), files.listing(mixed.path)))
    assert made[0] == made[1]
    assert made[0][0]["spans"] == ["span-10", "span-11"]
    assert made[0][0]["fresh"] == "span-11"


def test_labels_that_are_not_the_contracts_are_refused():
    Spans(directory="x", labels=[str(i) for i in range(10)]).check(10)
    Spans(directory="x").check(10)
    with pytest.raises(ConfigurationError, match=r"^configuration: spans\.labels names 2 labels; the contract has 10"):
        Spans(directory="x", labels=["a", "b"]).check(10)
    with pytest.raises(ConfigurationError, match=r"^configuration: spans\.labels names 3 labels, some twice\n"):
        Spans(directory="x", labels=["a", "b", "b"]).check(2)
    Spans(directory="x", labels=["a", "bee"]).check(2, ["a", "b"])
    with pytest.raises(
        ConfigurationError, match=r"^configuration: in spans\.labels, label 0 is b; in the contract it is a\n"
    ):
        Spans(directory="x", labels=["b", "a"]).check(2, ["a", "b"])
