"""Unreadable files of a span are set aside; unusual images among photos do not quarantine a span."""

import dataclasses
import json

import imagecodecs
import numpy as np
import PIL.Image
import pytest

from components._data.images import decoder
from components.admit import admit
from components.describe import describe
from components.ingest import ingest
from components.sources.reading import place_of
from pipeline.runs import schema_draft
from pipeline.store.store import facts, from_facts
from schemas import disk, files
from schemas.artifacts import Collected
from schemas.contract import Contract
from schemas.settings.source import Folder, Unreadable
from schemas.settings.spans import READY, Drift
from schemas.settings.validate import Validate
from tests.components import pictures
from tests.components.image_files import encoded, image_folder
from tests.conftest import UNPREPARED
from tests.spans import collected

COUNT = 300


def photos(directory, name, count=COUNT, seed=8):
    """A span of small RGB images in folders 0, 1 and 2."""
    images, labels = pictures.pictures(count, seed=seed)
    span = image_folder(directory / name, images, labels, ["0", "1", "2"])
    (span / READY).touch()
    return span


def damage_files(span):
    """A truncated image and a text; the reasons by path."""
    truncated, text = min((span / "2").iterdir()), span / "1" / "notes.txt"
    truncated.write_bytes(truncated.read_bytes()[:60])
    text.write_text("to do", encoding="utf-8")
    suffixes = ".png, .jpg, .jpeg, .bmp, .gif, .webp, .tif, .tiff, .avif, .heic, .heif"
    return {
        f"{span.name}/1/notes.txt": f"{text} is not an image; {suffixes} are supported",
        f"{span.name}/2/{truncated.name}": f"{truncated} cannot be decoded as an image",
    }


@pytest.mark.parametrize("encoding", ["raw", "encoded"])
def test_unreadable_files_stay_set_aside_when_another_span_is_collected(encoding, tmp_path, new_run):
    spans = tmp_path / "spans"
    reasons = damage_files(photos(spans, "span-1"))
    for ignored in ("Thumbs.db", ".hidden", "desktop.ini"):
        (spans / "span-1" / "2" / ignored).write_bytes(b"?")
    run = new_run()
    collected_spans = collected(spans, run, encoding=encoding, shard_size=90)
    assert (
        collected_spans.spans["span-1"].broken,
        collected_spans.spans["span-1"].count,
        collected_spans.spans["span-1"].unreadable,
    ) == ("", 299, 2)
    assert dict(collected_spans.set_aside()) == reasons
    assert run.logged == ["1 new of 1 spans, 299 images; 2 unreadable"]

    listing = files.listing(collected_spans.path)
    disk.write_json(collected_spans.path / files.MANIFEST, {"files": listing})  # as the store would
    photos(spans, "span-2", seed=9)
    run = new_run(previous_artifacts=[collected_spans])
    next_spans = collected(spans, run, encoding=encoding, shard_size=90)
    assert run.logged == [f"1 new of 2 spans, {COUNT} images"]
    assert dict(next_spans.set_aside()) == reasons
    assert (next_spans.spans["span-2"].count, next_spans.spans["span-2"].unreadable) == (COUNT, 0)


@pytest.mark.parametrize(
    ("allowed", "limit"), [(Unreadable(at_most=0.005), "0.5%"), (Unreadable(then="error", at_most=1), "none")]
)
def test_a_span_with_too_many_unreadable_files_is_left_out(allowed, limit, tmp_path, new_run):
    first = min(damage_files(photos(tmp_path, "span-1")).values())
    photos(tmp_path, "span-2", seed=9)
    collected_spans = collected(tmp_path, new_run(), unreadable=allowed)
    reason = f"2 images (0.7%) cannot be read; spans.unreadable allows {limit}: {first}, and 1 more"
    assert collected_spans.spans["span-1"].broken == reason
    assert {path.name for path in (collected_spans.path / "span-1").iterdir()} == {"broken.json", "mark.json"}
    assert collected_spans.spans["span-2"].count == COUNT


def test_the_limit_applies_to_a_span_and_not_to_a_piece(tmp_path, new_run):
    """Both files are in one piece of 20 images."""
    span = photos(tmp_path, "span-1")
    for path in sorted((span / "0").iterdir())[:2]:
        path.write_bytes(b"")
    assert collected(tmp_path, new_run(), shard_size=20).spans["span-1"].unreadable == 2


def test_artifacts_without_set_aside_files_load(tmp_path, new_run):
    photos(tmp_path, "span-1", count=20)
    collected_spans = collected(tmp_path, new_run())
    stored = facts(collected_spans)
    assert stored["spans"]["span-1"].pop("unreadable") == 0
    old = from_facts(Collected, collected_spans.path, json.loads(json.dumps(stored)))
    assert dataclasses.replace(old, digest=collected_spans.digest) == collected_spans
    assert old.set_aside() == []


UNUSUAL = {
    "grey.jpg": encoded(PIL.Image.new("L", (60, 50), 90), "JPEG"),
    "logo.png": encoded(PIL.Image.new("RGBA", (60, 50), (9, 200, 9, 90)), "PNG"),
    "phone.webp": encoded(PIL.Image.new("RGB", (60, 50), (90, 20, 9)), "WEBP"),
    "scan.tif": encoded(PIL.Image.new("RGB", (60, 50), (20, 90, 9)), "TIFF"),
    "photo.avif": imagecodecs.avif_encode(np.full((50, 60, 3), 70, np.uint8)),
    "deep.png": imagecodecs.png_encode(np.full((50, 60, 3), 7000, np.uint16)),
}


def test_unusual_images_among_photos_do_not_quarantine_the_span(tmp_path, new_run):
    """The contract is drafted from JPEG photos alone."""
    rng = np.random.default_rng(2)
    for i in range(120):
        for folder in (tmp_path / "base", tmp_path / "spans" / "span-1"):
            path = folder / str(i % 2) / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 256, (50 + i % 7, 60 + i % 9, 3), np.uint8)
            path.write_bytes(encoded(PIL.Image.fromarray(image), "JPEG"))
    for name, content in UNUSUAL.items():
        (tmp_path / "spans" / "span-1" / "1" / name).write_bytes(content)
    (tmp_path / "spans" / "span-1" / READY).touch()
    source = Folder(folder=str(tmp_path / "base"))
    examples = ingest.function(UNPREPARED, source=source, place=place_of(source), encoding="encoded", run=new_run())
    statistics = describe.function(examples, run=new_run())
    contract = Contract("own.pbtxt", schema_draft.text(statistics.by_split(), ["0", "1"]))
    collected_spans = collected(tmp_path / "spans", new_run(), encoding="encoded")
    assert (collected_spans.spans["span-1"].count, collected_spans.spans["span-1"].unreadable) == (126, 0)
    drift = Drift(then="ignore")
    admission = admit.function(
        collected_spans, statistics, None, contract=contract, checks=Validate(), drift=drift, run=new_run()
    )
    assert (admission.admitted, admission.quarantined) == (("span-1",), {})


def test_the_split_of_an_image_does_not_depend_on_its_lossless_format(tmp_path, new_run):
    images = [np.random.default_rng(i).integers(0, 256, (20, 20, 3), np.uint8) for i in range(60)]
    splits_by_format = []
    for file_format in ("PNG", "TIFF"):
        for i, image in enumerate(images):
            path = tmp_path / file_format / "span-1" / "0" / f"{i}.{file_format.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(PIL.Image.fromarray(image), file_format))
        (tmp_path / file_format / "span-1" / READY).touch()
        collected_spans = collected(tmp_path / file_format, new_run(), encoding="encoded")
        splits_by_format.append(
            {
                decoder(0)(content).tobytes(): split
                for split, split_ in collected_spans.spans["span-1"].splits.items()
                for content in contents(collected_spans.path / "span-1", split_)
            }
        )
    assert len(splits_by_format[0]) == 60
    assert splits_by_format[0] == splits_by_format[1]


def contents(folder, split):
    import tensorflow as tf

    for shard in split.shards:
        for record in tf.compat.v1.io.tf_record_iterator(str(folder / shard)):
            yield tf.train.Example.FromString(record).features.feature["image"].bytes_list.value[0]
