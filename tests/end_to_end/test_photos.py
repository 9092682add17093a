"""Photos of many sizes, formats and orientations, some damaged: three commands train and push a model."""

import html
import json
import re

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import yaml

from gateline import Run
from schemas import example
from schemas.contract import Contract
from tests.components.image_files import encoded
from tests.end_to_end.digits import NAMES, digits, gateline

pytestmark = pytest.mark.slow

TRANSPOSED = {
    1: None,
    3: PIL.Image.Transpose.ROTATE_180,
    6: PIL.Image.Transpose.ROTATE_90,
    8: PIL.Image.Transpose.ROTATE_270,
}
ODD = ("broken.jpg", "empty.png", "list.txt", "really-a-text.jpeg")


def with_orientation(image: PIL.Image.Image, orientation: int) -> bytes:
    """A JPEG with transposed pixels and the EXIF orientation that restores them."""
    exif, transpose = PIL.Image.Exif(), TRANSPOSED[orientation]
    exif[0x0112] = orientation
    return encoded(image if transpose is None else image.transpose(transpose), "JPEG", quality=95, exif=exif)


def photo_file(digit: np.ndarray, number: int) -> tuple[str, bytes]:
    """(suffix, content) of a digit as an image file; size, format and mode depend on `number`."""
    side = 24 + number % 40
    image = PIL.Image.fromarray(digit).resize((side + number % 9, side), PIL.Image.Resampling.BICUBIC)
    match number % 9:
        case 0:
            return ".png", encoded(image.convert("RGBA"), "PNG")
        case 1:
            return ".gif", encoded(image, "GIF")
        case 2:
            return ".bmp", encoded(image.convert("RGB"), "BMP")
        case 3:
            return ".WEBP", encoded(image.convert("RGB"), "WEBP", lossless=True)
        case 4:
            return ".jpeg", encoded(image.convert("CMYK"), "JPEG", quality=95)
        case 5:
            return ".png", encoded(PIL.Image.fromarray(np.asarray(image).astype(np.uint16) * 257), "PNG")
        case _:
            return ".JPG", with_orientation(image, [1, 3, 6, 8][number % 4])


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """600 digits as photos, unreadable files, and files of file managers."""
    work = tmp_path_factory.mktemp("work")
    images, labels = digits("train", 600)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        suffix, content = photo_file(image, i)
        path = work / "photos" / NAMES[label] / f"{i:05d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder = work / "photos" / "one"
    for name, content in zip(
        ODD,
        (
            with_orientation(PIL.Image.fromarray(images[0]), 1)[:300],
            b"",
            b"a.jpg",
            b"hello",
        ),
        strict=True,
    ):
        (folder / name).write_bytes(content)
    (folder / "scan.TIFF").write_bytes(encoded(PIL.Image.fromarray(images[0]), "TIFF"))
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf")
    (folder / ".DS_Store").write_bytes(b"\0")
    return work


@pytest.fixture(scope="module")
def initialized(work):
    return gateline(work, "init", "photos")


@pytest.fixture(scope="module")
def drafted(initialized):
    return initialized.stdout


@pytest.fixture(scope="module")
def pushed(work, drafted):
    return json.loads(gateline(work, "run", "--json").stdout)


def test_init_prints_what_it_found_and_drafts_a_common_size(work, drafted):
    assert re.search(r"^size      24 to 63 x 24 to 71, 1 to 4 channels$", drafted, re.MULTILINE)
    assert "          4 files could not be read and were set aside\n" in drafted
    config = yaml.safe_load((work / "gateline.yaml").read_text(encoding="utf-8"))
    assert config["transform"] == {"size": [32, 32]}
    assert (config["train"]["epochs"], config["train"]["optimizer"]) == (60, {"schedule": "cosine"})
    contract = Contract.load(str(work / "photos.pbtxt"))
    assert (contract.encoding, contract.names) == ("encoded", tuple(sorted(NAMES)))
    assert list(contract.feature("image/format").string_domain.value) == ["bmp", "gif", "jpeg", "png", "webp"]


def test_init_prints_only_its_progress_besides(initialized):
    stages = {line.partition(" ")[0] for line in initialized.stderr.splitlines()}
    assert stages == {"ingest", "describe"}  # and no message of TensorFlow


def test_the_model_is_pushed_and_records_hold_the_original_files(work, pushed):
    assert pushed["state"] == "pushed"
    records = {
        tf.train.Example.FromString(record).features.feature["image"].bytes_list.value[0]
        for path in (work / "gateline/artifacts/ingest").glob("*/*.tfrecord")
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    }
    files = {path.read_bytes() for path in (work / "photos").rglob("*") if path.is_file()}
    assert len(list((work / "gateline/artifacts/ingest").iterdir())) == 1  # those of init
    [scan] = records - files
    np.testing.assert_array_equal(tf.io.decode_png(scan)[..., 0], digits("train", 600)[0][0])
    assert len(files - records) == len(ODD) + 3  # the TIFF, Thumbs.db and .DS_Store


def test_predictions_and_the_report_name_the_files_of_images(work, pushed):
    evaluation = Run(pushed["run"], root=work / "gateline").evaluation
    files = evaluation.predictions()["file"].to_pylist()
    assert len(files) == len(set(files)) > 20
    assert all((work / "photos" / file).is_file() for file in files)
    gateline(work, "report")
    page = (work / f"gateline/reports/run-{pushed['run']}.html").read_text(encoding="utf-8")
    shown = {entry.file for entry in evaluation.gallery()["samples"]}
    assert shown <= set(files)
    assert all(f'alt="Test image {html.escape(file)}, labelled ' in page for file in shown)


def test_the_report_names_each_unreadable_file_with_the_reason(work, pushed):
    gateline(work, "report")
    page = (work / f"gateline/reports/run-{pushed['run']}.html").read_text(encoding="utf-8")
    for name in ODD:
        assert re.search(rf"one/{re.escape(name)} (cannot be decoded as an image|is not an image)", page), name
    assert "Thumbs.db" not in page


def test_every_signature_predicts_the_same_for_an_image(work, pushed):
    model = tf.saved_model.load(str(work / pushed["path"]))
    files = sorted(path for path in (work / "photos").rglob("*.*") if path.name not in ODD and path.stem.isdecimal())
    contents = [path.read_bytes() for path in files[:40]]
    by_bytes = model.signatures["bytes"](image_bytes=tf.constant(contents))["probabilities"].numpy()
    encode = example.encoder("own", "1", "test")
    records = [encode(np.zeros((1, 1, 1), np.uint8), 0, i, content) for i, content in enumerate(contents)]
    by_records = model.signatures["serving_default"](examples=tf.constant(records))["probabilities"].numpy()
    np.testing.assert_array_equal(by_bytes, by_records)
    png = next(content for content, path in zip(contents, files, strict=False) if path.suffix == ".gif")
    pixels = tf.io.decode_image(png, 3, expand_animations=False)
    one = model.signatures["images"](images=pixels[tf.newaxis])["probabilities"].numpy()
    np.testing.assert_allclose(one[0], by_bytes[contents.index(png)], atol=1e-6)


def test_the_served_model_applies_the_exif_orientation(work, pushed):
    call = tf.saved_model.load(str(work / pushed["path"])).signatures["bytes"]
    images, labels = digits("test", 20)
    digit_two = images[labels == NAMES.index("two")][0]  # other digits may look the same when rotated
    digit = PIL.Image.fromarray(digit_two).resize((64, 64))
    answers = call(image_bytes=tf.constant([with_orientation(digit, orientation) for orientation in TRANSPOSED]))[
        "probabilities"
    ].numpy()
    np.testing.assert_allclose(answers, np.tile(answers[:1], (4, 1)), atol=0.02)
    sideways = call(image_bytes=tf.constant([encoded(digit.rotate(90), "JPEG", quality=95)]))["probabilities"].numpy()
    assert np.abs(sideways - answers[0]).max() > 0.02


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0" + bytes(40)])
def test_the_served_model_rejects_bytes_that_are_not_an_image(content, work, pushed):
    call = tf.saved_model.load(str(work / pushed["path"])).signatures["bytes"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(image_bytes=tf.constant([content]))


def test_an_unchanged_folder_is_reused_and_a_new_photo_is_ingested(work, pushed):
    plan = json.loads(gateline(work, "run", "--dry-run", "--json").stdout)
    assert {step["action"] for step in plan if step["stage"] in ("ingest", "describe", "transform", "train")} == {
        "reuse"
    }
    (work / "photos/one/new.jpg").write_bytes(with_orientation(PIL.Image.new("L", (50, 40), 90), 6))
    plan = json.loads(gateline(work, "run", "--dry-run", "--json").stdout)
    assert next(step["action"] for step in plan if step["stage"] == "ingest") == "run"


def test_columns_of_a_table_become_slices_of_the_report(work, drafted, tmp_path):
    photos = sorted(path for path in (work / "photos").rglob("*.*") if path.stem.isdecimal())
    rows = [f"{path},{path.parent.name},patient {i // 3},{['A7', 'D850'][i % 2]}" for i, path in enumerate(photos)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,patient,camera", *rows, ""]), encoding="utf-8")
    output = gateline(tmp_path, "init", "labels.csv", "--image", "file", "--group", "patient").stdout
    assert re.search(r"^columns   camera \(2 values\): evaluate\.slices can name them$", output, re.MULTILINE)
    config = yaml.safe_load((tmp_path / "gateline.yaml").read_text(encoding="utf-8"))
    min_examples = config["gates"]["min_examples"]  # 600 photos of four labels have about 30 test images of each
    assert f"gates.min_examples: a label has only {min_examples} test images" in output
    config["evaluate"] = {"slices": ["camera"], "corrupted": 0}
    config["train"]["epochs"] = 8
    config["gates"]["slices"] = {"camera": 0.5}
    (tmp_path / "gateline.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    run = json.loads(gateline(tmp_path, "run", "--json").stdout)
    gateline(tmp_path, "report")
    page = (tmp_path / f"gateline/reports/run-{run['run']}.html").read_text(encoding="utf-8")
    assert "camera=A7" in page
    assert "camera=D850" in page
