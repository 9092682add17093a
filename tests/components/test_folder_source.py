"""Source `folder`: splits, labels, files that are no images, and what changes when the folder does."""

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


def drawn(count=200, seed=5):
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


def test_every_image_gets_the_label_of_its_folder(tmp_path, lend):
    images, labels = drawn()
    made = ingested(image_folder(tmp_path / "own", images, labels, NAMES), lend())
    numbers = sorted(NAMES)
    expected = {image.tobytes(): numbers.index(NAMES[label]) for image, label in zip(images, labels, strict=True)}
    assert by_image(made, "train", "validation", "test") == expected
    assert (made.source, made.unreadable, made.set_aside()) == ("own", 0, [])


def test_the_contract_gives_the_order_of_the_labels_and_refuses_others(tmp_path, lend):
    images, labels = drawn()
    folder = image_folder(tmp_path / "own", images, labels, NAMES)
    made = ingested(folder, lend(), labels=NAMES)
    expected = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert by_image(made, "train", "validation", "test") == expected
    (folder / "yellow").mkdir()
    with pytest.raises(DataError) as refused:
        ingested(folder, lend(), labels=NAMES)
    assert refused.value.cause == f"{folder}/yellow is not a label: the contract has red, green, blue"
    assert refused.value.remedy == "Add the label to the contract, or move the folder away."


def test_shares_are_about_those_asked_for_and_no_image_moves_when_others_are_added(tmp_path, lend):
    images, labels = drawn(600)
    few = ingested(image_folder(tmp_path / "few", images[:300], labels[:300], NAMES), lend(), test=0.3, validation=0.2)
    many = ingested(image_folder(tmp_path / "many", images, labels, NAMES), lend(), test=0.3, validation=0.2)
    for examples, total in ((few, 300), (many, 600)):
        assert examples.splits["test"].count == pytest.approx(0.3 * total, abs=4 * (0.21 * total) ** 0.5)
        assert examples.splits["validation"].count == pytest.approx(0.14 * total, abs=4 * (0.12 * total) ** 0.5)
    for split in ("train", "validation", "test"):
        assert by_image(few, split).keys() <= by_image(many, split).keys()


@pytest.mark.parametrize("names", [("train", "test"), ("train", "val", "test"), ("Train", "Valid", "TEST")])
def test_splits_are_taken_as_they_are_delivered(names, tmp_path, lend):
    images, labels = drawn(240)
    parts = np.array_split(np.arange(240), len(names))
    for name, part in zip(names, parts, strict=True):
        image_folder(tmp_path / "own" / name, images[part], labels[part], NAMES)
    made = ingested(tmp_path / "own", lend())
    tested = {images[i].tobytes() for i in parts[-1]}
    assert by_image(made, "test").keys() == tested
    trained = {images[i].tobytes() for i in parts[0]}
    if len(names) == 2:
        assert by_image(made, "train", "validation").keys() == trained
    else:
        assert by_image(made, "train").keys() == trained
        assert by_image(made, "validation").keys() == {images[i].tobytes() for i in parts[1]}


def test_hidden_files_and_those_of_file_managers_are_ignored_and_folders_may_be_nested(tmp_path, lend):
    images, labels = drawn(60)
    folder = image_folder(tmp_path / "own", images, labels, NAMES)
    nested = folder / "red" / "2026" / "may"
    nested.mkdir(parents=True)
    for path in sorted((folder / "red").glob("*.png"))[:5]:
        path.rename(nested / path.name.replace(".png", ".PNG"))
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        (folder / name).write_text("x", encoding="utf-8")
        (folder / "red" / name).write_text("x", encoding="utf-8")
    made = ingested(folder, lend(), unreadable=Unreadable(then="error"))
    assert sum(split.count for split in made.splits.values()) == 60


def harm(folder):
    """A truncated image, an empty file and a text among the images: their paths below the folder."""
    first, second = sorted((folder / "green").glob("*.png"))[:2]
    first.write_bytes(first.read_bytes()[:60])
    second.write_bytes(b"")
    (folder / "blue" / "notes.txt").write_text("to do", encoding="utf-8")
    return ["blue/notes.txt", *(str(path.relative_to(folder)) for path in (first, second))]


def test_unreadable_images_are_set_aside_by_name_with_the_reason(tmp_path, lend):
    folder = image_folder(tmp_path / "own", *drawn(400), NAMES)
    bad, run = harm(folder), lend()
    made = ingested(folder, run, shard_size=90)
    assert [file for file, _ in made.set_aside()] == bad
    assert [reason.removeprefix(f"{folder}/") for _, reason in made.set_aside()] == [
        "blue/notes.txt is not an image; "
        ".png, .jpg, .jpeg, .bmp, .gif, .webp, .tif, .tiff, .avif, .heic, .heif are supported",
        *(f"{path} cannot be decoded as an image" for path in bad[1:]),
    ]
    assert made.unreadable == 3
    assert run.logged[-1].endswith("; 3 unreadable")
    assert "3 images set aside" in made.summary
    assert sum(split.count for split in made.splits.values()) == 398
    assert json.loads((made.path / "unreadable.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("settings", "limit"), [({"at_most": 0.001}, "allows 0.1%"), ({"then": "error"}, "allows none")]
)
def test_too_many_unreadable_images_refuse_the_data(settings, limit, tmp_path, lend):
    folder = image_folder(tmp_path / "own", *drawn(400), NAMES)
    harm(folder)
    with pytest.raises(DataError) as refused:
        ingested(folder, lend(), unreadable=Unreadable(**settings))
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
def test_a_folder_of_another_form_is_refused_in_words(build, cause, tmp_path, lend):
    root = tmp_path / "own"
    build(root)
    with pytest.raises(DataError) as refused:
        ingested(root, lend())
    assert refused.value.cause == cause.format(root=root)
    assert refused.value.remedy


def test_every_change_of_the_folder_is_seen_and_the_same_files_elsewhere_are_the_same(tmp_path):
    folder = image_folder(tmp_path / "own", *drawn(30), NAMES)

    def looked_up(path=folder):
        source = Folder(folder=str(path))
        digests = Digests(None)
        assert digests.of(path)
        return source_data.function(source=source, place=place_of(source)).digest

    before = looked_up()
    assert looked_up() == before
    one = min((folder / "red").glob("*.png"))
    content = one.read_bytes()
    one.rename(one.with_name("renamed.png"))
    assert looked_up() != before
    one.with_name("renamed.png").rename(one)
    assert looked_up() == before
    one.write_bytes(content[:-1] + b"x")
    assert looked_up() != before
    one.write_bytes(content)
    folder.rename(tmp_path / "moved")
    assert looked_up(tmp_path / "moved") == before


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_images_are_upright_by_their_exif_orientation(orientation, suffix, tmp_path):
    """Pillow turns the same file as a reference."""
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


def test_an_image_with_an_alpha_channel_keeps_it_so_that_the_contract_can_refuse_it(tmp_path):
    PIL.Image.new("RGBA", (8, 8), (10, 200, 10, 0)).save(tmp_path / "logo.png")
    assert decoder(0)((tmp_path / "logo.png").read_bytes()).shape == (8, 8, 4)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp"])
def test_every_supported_format_is_read(suffix, tmp_path, lend):
    """Images of four brightnesses, so that lossy formats keep them apart."""
    for i in range(60):
        path = tmp_path / "own" / ("dark", "light")[i % 2] / f"{i}.{suffix.upper() if i < 9 else suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (8, 8), (40 + 150 * (i % 2), 3 * i, 20)).save(
            path, format="jpeg" if suffix == "jpg" else suffix
        )
    made = ingested(tmp_path / "own", lend(), unreadable=Unreadable(then="error"))
    assert sum(split.count for split in made.splits.values()) == 60
    for split in made.splits:
        red = pictures.images(made, split)[..., 0].mean((1, 2))
        assert ((red > 115) == pictures.columns(made, split)["label"]).all()
