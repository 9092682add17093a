"""Source `folder`: splits, labels, files that are not images, and the digest of the folder."""

import json

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from components._data.images import decoder
from components.ingest import ingest
from components.resolvers.source_data import source_data
from components.sources.fingerprint import Digests
from components.sources.reading import place_of
from schemas.errors import DataError
from schemas.settings.source import Folder, Unreadable
from tests.components import pictures
from tests.components.image_files import image_folder
from tests.conftest import UNPREPARED

NAMES = pictures.NAMES


def ingested(folder, run, labels=None, **settings):
    source = Folder(folder=str(folder), **settings)
    return ingest.function(UNPREPARED, source=source, place=place_of(source), labels=labels, run=run)


def random_images(count=200, seed=5):
    return pictures.pictures(count, seed=seed)


def by_image(examples, *splits):
    """{image: label} of the splits."""
    pairs = [
        (image.tobytes(), int(label))
        for split in splits
        for image, label in zip(
            pictures.images(examples, split), pictures.columns(examples, split)["label"].tolist(), strict=True
        )
    ]
    return dict(pairs)


def test_every_image_gets_the_label_of_its_folder(tmp_path, new_run):
    images, labels = random_images()
    examples = ingested(image_folder(tmp_path / "own", images, labels, NAMES), new_run())
    numbers = sorted(NAMES)
    expected = {image.tobytes(): numbers.index(NAMES[label]) for image, label in zip(images, labels, strict=True)}
    assert by_image(examples, "train", "validation", "test") == expected
    assert (examples.source, examples.unreadable, examples.set_aside()) == ("own", 0, [])


def test_the_contract_defines_the_order_of_labels_and_refuses_others(tmp_path, new_run):
    images, labels = random_images()
    folder = image_folder(tmp_path / "own", images, labels, NAMES)
    examples = ingested(folder, new_run(), labels=NAMES)
    expected = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert by_image(examples, "train", "validation", "test") == expected
    (folder / "yellow").mkdir()
    with pytest.raises(DataError) as refused:
        ingested(folder, new_run(), labels=NAMES)
    assert refused.value.cause == f"{folder}/yellow is not a label: the contract has red, green, blue"
    assert refused.value.remedy == "Add the label to the contract, or move the folder away."


def test_splits_have_the_configured_shares_and_are_stable_when_images_are_added(tmp_path, new_run):
    images, labels = random_images(600)
    fewer = ingested(
        image_folder(tmp_path / "few", images[:300], labels[:300], NAMES), new_run(), test=0.3, validation=0.2
    )
    more = ingested(image_folder(tmp_path / "many", images, labels, NAMES), new_run(), test=0.3, validation=0.2)
    for examples, total in ((fewer, 300), (more, 600)):
        assert examples.splits["test"].count == pytest.approx(0.3 * total, abs=4 * (0.21 * total) ** 0.5)
        assert examples.splits["validation"].count == pytest.approx(0.14 * total, abs=4 * (0.12 * total) ** 0.5)
    for split in ("train", "validation", "test"):
        assert by_image(fewer, split).keys() <= by_image(more, split).keys()


@pytest.mark.parametrize("names", [("train", "test"), ("train", "val", "test"), ("Train", "Valid", "TEST")])
def test_folders_of_splits_are_used(names, tmp_path, new_run):
    images, labels = random_images(240)
    parts = np.array_split(np.arange(240), len(names))
    for name, part in zip(names, parts, strict=True):
        image_folder(tmp_path / "own" / name, images[part], labels[part], NAMES)
    examples = ingested(tmp_path / "own", new_run())
    test_images = {images[i].tobytes() for i in parts[-1]}
    assert by_image(examples, "test").keys() == test_images
    train_images = {images[i].tobytes() for i in parts[0]}
    if len(names) == 2:
        assert by_image(examples, "train", "validation").keys() == train_images
    else:
        assert by_image(examples, "train").keys() == train_images
        assert by_image(examples, "validation").keys() == {images[i].tobytes() for i in parts[1]}


def test_hidden_files_are_ignored_and_folders_can_be_nested(tmp_path, new_run):
    images, labels = random_images(60)
    folder = image_folder(tmp_path / "own", images, labels, NAMES)
    nested = folder / "red" / "2026" / "may"
    nested.mkdir(parents=True)
    for path in sorted((folder / "red").glob("*.png"))[:5]:
        path.rename(nested / path.name.replace(".png", ".PNG"))
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        (folder / name).write_text("x", encoding="utf-8")
        (folder / "red" / name).write_text("x", encoding="utf-8")
    examples = ingested(folder, new_run(), unreadable=Unreadable(then="error"))
    assert sum(split.count for split in examples.splits.values()) == 60


def damage_files(folder):
    """Writes a truncated image, an empty file and a text file; returns their relative paths."""
    first, second = sorted((folder / "green").glob("*.png"))[:2]
    first.write_bytes(first.read_bytes()[:60])
    second.write_bytes(b"")
    (folder / "blue" / "notes.txt").write_text("to do", encoding="utf-8")
    return ["blue/notes.txt", *(str(path.relative_to(folder)) for path in (first, second))]


def test_unreadable_images_are_set_aside_by_name_with_the_reason(tmp_path, new_run):
    folder = image_folder(tmp_path / "own", *random_images(400), NAMES)
    unreadable_files, run = damage_files(folder), new_run()
    examples = ingested(folder, run, shard_size=90)
    assert [file for file, _ in examples.set_aside()] == unreadable_files
    assert [reason.removeprefix(f"{folder}/") for _, reason in examples.set_aside()] == [
        "blue/notes.txt is not an image; "
        ".png, .jpg, .jpeg, .bmp, .gif, .webp, .tif, .tiff, .avif, .heic, .heif are supported",
        *(f"{path} cannot be decoded as an image" for path in unreadable_files[1:]),
    ]
    assert examples.unreadable == 3
    assert run.logged[-1].endswith("; 3 unreadable")
    assert "3 images set aside" in examples.summary
    assert sum(split.count for split in examples.splits.values()) == 398
    assert json.loads((examples.path / "unreadable.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("settings", "limit"), [({"at_most": 0.001}, "allows 0.1%"), ({"then": "error"}, "allows none")]
)
def test_too_many_unreadable_images_refuse_the_data(settings, limit, tmp_path, new_run):
    folder = image_folder(tmp_path / "own", *random_images(400), NAMES)
    damage_files(folder)
    with pytest.raises(DataError) as refused:
        ingested(folder, new_run(), unreadable=Unreadable(**settings))
    assert refused.value.cause.startswith(f"3 images (0.7%) cannot be read; source.unreadable {limit}: {folder}/blue/")
    assert refused.value.cause.endswith(", and 2 more")
    assert refused.value.exit_code == 4


@pytest.mark.parametrize(
    ("build", "cause"),
    [
        (lambda root: None, "source.folder {root} is not a folder"),
        (lambda root: root.mkdir(), "{root} holds no folders of images"),
        (lambda root: (root / "red").mkdir(parents=True), "split train of {root} is empty"),
        (
            lambda root: (root / "train" / "red").mkdir(parents=True),
            "{root} has folders for splits, but none for test",
        ),
        (
            lambda root: [(root / name / "red").mkdir(parents=True) for name in ("train", "val", "valid", "test")],
            "{root} holds two folders for one split: test, train, val, valid",
        ),
    ],
)
def test_an_invalid_folder_is_refused(build, cause, tmp_path, new_run):
    root = tmp_path / "own"
    build(root)
    with pytest.raises(DataError) as refused:
        ingested(root, new_run())
    assert refused.value.cause == cause.format(root=root)
    assert refused.value.remedy


def test_the_digest_depends_on_the_files_and_not_on_the_location(tmp_path):
    folder = image_folder(tmp_path / "own", *random_images(30), NAMES)

    def source_digest(path=folder):
        source = Folder(folder=str(path))
        digests = Digests(None)
        assert digests.of(path)
        return source_data.function(source=source, place=place_of(source)).digest

    before = source_digest()
    assert source_digest() == before
    image_path = min((folder / "red").glob("*.png"))
    content = image_path.read_bytes()
    image_path.rename(image_path.with_name("renamed.png"))
    assert source_digest() != before
    image_path.with_name("renamed.png").rename(image_path)
    assert source_digest() == before
    image_path.write_bytes(content[:-1] + b"x")
    assert source_digest() != before
    image_path.write_bytes(content)
    folder.rename(tmp_path / "moved")
    assert source_digest(tmp_path / "moved") == before


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_the_exif_orientation_of_images_is_applied(orientation, suffix, tmp_path):
    """Pillow's result for the same file is the reference."""
    content = np.zeros((16, 24, 3), np.uint8)
    content[:8, :8], content[8:, 16:] = (250, 10, 10), (10, 10, 250)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"phone.{suffix}"
    PIL.Image.fromarray(content).save(path, exif=exif, quality=95)
    with PIL.Image.open(path) as image:
        expected = np.asarray(PIL.ImageOps.exif_transpose(image).convert("RGB"))
    decoded = decoder(0)(path.read_bytes())
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= 8  # two JPEG decoders
    assert decoded.shape == ((24, 16, 3) if orientation > 4 else (16, 24, 3))


def test_an_alpha_channel_is_kept_for_the_contract_to_refuse(tmp_path):
    PIL.Image.new("RGBA", (8, 8), (10, 200, 10, 0)).save(tmp_path / "logo.png")
    assert decoder(0)((tmp_path / "logo.png").read_bytes()).shape == (8, 8, 4)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp"])
def test_every_supported_format_is_read(suffix, tmp_path, new_run):
    """Images of two brightnesses, so that lossy formats preserve the difference."""
    for i in range(60):
        path = tmp_path / "own" / ("dark", "light")[i % 2] / f"{i}.{suffix.upper() if i < 9 else suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (8, 8), (40 + 150 * (i % 2), 3 * i, 20)).save(
            path, format="jpeg" if suffix == "jpg" else suffix
        )
    examples = ingested(tmp_path / "own", new_run(), unreadable=Unreadable(then="error"))
    assert sum(split.count for split in examples.splits.values()) == 60
    for split in examples.splits:
        red = pictures.images(examples, split)[..., 0].mean((1, 2))
        assert ((red > 115) == pictures.columns(examples, split)["label"]).all()
