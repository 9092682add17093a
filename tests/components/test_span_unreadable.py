"""Single unreadable files of a span are set aside; what may be odd about photos quarantines nothing."""

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
from schemas import files
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


def harm(span):
    """A truncated image and a text; the reasons by path."""
    cut, text = min((span / "2").iterdir()), span / "1" / "notes.txt"
    cut.write_bytes(cut.read_bytes()[:60])
    text.write_text("to do", encoding="utf-8")
    suffixes = ".png, .jpg, .jpeg, .bmp, .gif, .webp, .tif, .tiff, .avif, .heic, .heif"
    return {
        f"{span.name}/1/notes.txt": f"{text} is not an image; {suffixes} are supported",
        f"{span.name}/2/{cut.name}": f"{cut} cannot be decoded as an image",
    }


@pytest.mark.parametrize("encoding", ["raw", "encoded"])
def test_unreadable_files_are_set_aside_with_the_reasons_and_stay_so_when_another_span_comes(encoding, tmp_path, lend):
    spans = tmp_path / "spans"
    reasons = harm(photos(spans, "span-1"))
    for ignored in ("Thumbs.db", ".hidden", "desktop.ini"):
        (spans / "span-1" / "2" / ignored).write_bytes(b"?")
    run = lend()
    found = collected(spans, run, encoding=encoding, shard_size=90)
    assert (found.spans["span-1"].broken, found.spans["span-1"].count, found.spans["span-1"].unreadable) == ("", 299, 2)
    assert dict(found.set_aside()) == reasons
    assert run.logged == ["1 new of 1 spans, 299 images; 2 unreadable"]

    files.write_json(found.path / files.MANIFEST, {"files": files.listing(found.path)})  # as the store would
    photos(spans, "span-2", seed=9)
    run = lend(before=[found])
    again = collected(spans, run, encoding=encoding, shard_size=90)
    assert run.logged == [f"1 new of 2 spans, {COUNT} images"]
    assert dict(again.set_aside()) == reasons
    assert (again.spans["span-2"].count, again.spans["span-2"].unreadable) == (COUNT, 0)


@pytest.mark.parametrize(
    ("allowed", "limit"), [(Unreadable(at_most=0.005), "0.5%"), (Unreadable(then="error", at_most=1), "none")]
)
def test_a_span_with_more_unreadable_files_than_allowed_is_left_out(allowed, limit, tmp_path, lend):
    first = min(harm(photos(tmp_path, "span-1")).values())
    photos(tmp_path, "span-2", seed=9)
    found = collected(tmp_path, lend(), unreadable=allowed)
    reason = f"2 images (0.7%) cannot be read; spans.unreadable allows {limit}: {first}, and 1 more"
    assert found.spans["span-1"].broken == reason
    assert {path.name for path in (found.path / "span-1").iterdir()} == {"broken.json", "mark.json"}
    assert found.spans["span-2"].count == COUNT


def test_the_limit_is_that_of_a_span_not_of_a_piece(tmp_path, lend):
    """Both files are in one piece of 20 images."""
    span = photos(tmp_path, "span-1")
    for path in sorted((span / "0").iterdir())[:2]:
        path.write_bytes(b"")
    assert collected(tmp_path, lend(), shard_size=20).spans["span-1"].unreadable == 2


def test_artifacts_from_before_files_were_set_aside_still_load(tmp_path, lend):
    photos(tmp_path, "span-1", count=20)
    found = collected(tmp_path, lend())
    stored = facts(found)
    assert stored["spans"]["span-1"].pop("unreadable") == 0
    old = from_facts(Collected, found.path, json.loads(json.dumps(stored)))
    assert dataclasses.replace(old, digest=found.digest) == found
    assert old.set_aside() == []


ODD = {
    "grey.jpg": encoded(PIL.Image.new("L", (60, 50), 90), "JPEG"),
    "logo.png": encoded(PIL.Image.new("RGBA", (60, 50), (9, 200, 9, 90)), "PNG"),
    "phone.webp": encoded(PIL.Image.new("RGB", (60, 50), (90, 20, 9)), "WEBP"),
    "scan.tif": encoded(PIL.Image.new("RGB", (60, 50), (20, 90, 9)), "TIFF"),
    "photo.avif": imagecodecs.avif_encode(np.full((50, 60, 3), 70, np.uint8)),
    "deep.png": imagecodecs.png_encode(np.full((50, 60, 3), 7000, np.uint16)),
}


def test_odd_images_among_photos_quarantine_no_span(tmp_path, lend):
    """The contract is drafted from JPEG photos alone."""
    rng = np.random.default_rng(2)
    for i in range(120):
        for folder in (tmp_path / "base", tmp_path / "spans" / "span-1"):
            path = folder / str(i % 2) / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 256, (50 + i % 7, 60 + i % 9, 3), np.uint8)
            path.write_bytes(encoded(PIL.Image.fromarray(image), "JPEG"))
    for name, content in ODD.items():
        (tmp_path / "spans" / "span-1" / "1" / name).write_bytes(content)
    (tmp_path / "spans" / "span-1" / READY).touch()
    source = Folder(folder=str(tmp_path / "base"))
    examples = ingest.function(UNPREPARED, source=source, place=place_of(source), encoding="encoded", run=lend())
    statistics = describe.function(examples, run=lend())
    contract = Contract("own.pbtxt", schema_draft.text(statistics.by_split(), ["0", "1"]))
    found = collected(tmp_path / "spans", lend(), encoding="encoded")
    assert (found.spans["span-1"].count, found.spans["span-1"].unreadable) == (126, 0)
    drift = Drift(then="ignore")
    admission = admit.function(found, statistics, None, contract=contract, checks=Validate(), drift=drift, run=lend())
    assert (admission.admitted, admission.quarantined) == (("span-1",), {})


def test_an_image_goes_to_the_same_split_in_whatever_lossless_form_it_comes(tmp_path, lend):
    images = [np.random.default_rng(i).integers(0, 256, (20, 20, 3), np.uint8) for i in range(60)]
    drawn = []
    for form in ("PNG", "TIFF"):
        for i, image in enumerate(images):
            path = tmp_path / form / "span-1" / "0" / f"{i}.{form.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(PIL.Image.fromarray(image), form))
        (tmp_path / form / "span-1" / READY).touch()
        found = collected(tmp_path / form, lend(), encoding="encoded")
        drawn.append(
            {
                decoder(0)(content).tobytes(): split
                for split, each in found.spans["span-1"].splits.items()
                for content in contents(found.path / "span-1", each)
            }
        )
    assert len(drawn[0]) == 60
    assert drawn[0] == drawn[1]


def contents(folder, split):
    import tensorflow as tf

    for shard in split.shards:
        for record in tf.compat.v1.io.tf_record_iterator(str(folder / shard)):
            yield tf.train.Example.FromString(record).features.feature["image"].bytes_list.value[0]
