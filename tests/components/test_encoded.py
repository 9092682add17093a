"""Records of images as they were delivered: the same images as raw records, from every source."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from components._training.batches import Batches
from components.describe import describe
from components.ingest import ingest
from components.sources import tfds_builder
from components.sources.reading import place_of
from components.transform import transform
from components.validate import validate
from schemas import example, statistics
from schemas.artifacts import Verdict
from schemas.errors import ConfigurationError
from schemas.settings.source import Folder, Tfds
from schemas.settings.train import Mlp, Train
from schemas.settings.transform import Transform
from schemas.settings.validate import Validate
from tests import spans
from tests.components import pictures
from tests.components.image_files import encoded_examples, image_folder
from tests.components.trainings import same, trained, weights
from tests.conftest import UNPREPARED, lent

SPLITS = ("train", "validation", "test")


def ingested(source, encoding, run):
    return ingest.function(UNPREPARED, source=source, place=place_of(source), encoding=encoding, run=run)


@pytest.fixture(scope="module", params=["folder", "tfds"])
def source(request, tmp_path_factory, data_dir):
    if request.param == "folder":
        root = tmp_path_factory.mktemp("folder") / "colours"
        return Folder(folder=str(image_folder(root, *pictures.pictures(200, seed=3), pictures.NAMES)))
    return Tfds(tfds="pictures/jpeg", module="tests.components.pictures", data_dir=data_dir)


@pytest.fixture(scope="module")
def both(source, tmp_path_factory):
    """(raw, encoded) examples of one source."""
    return tuple(ingested(source, each, lent(tmp_path_factory.mktemp(each))) for each in ("raw", "encoded"))


def by_position(examples):
    """The columns of all records, in the order of the source."""
    splits = [pictures.columns(examples, split) for split in SPLITS]
    columns = {name: np.concatenate([split[name] for split in splits]) for name in splits[0]}
    order = np.lexsort([columns["source/index"], columns["source/split"]])
    return {name: values[order] for name, values in columns.items()}


def test_raw_and_encoded_records_hold_the_same_images(both):
    raw, encoded = both
    one, other = map(by_position, both)
    for name in ("label", "source/split", "source/index", "image/height", "image/width", "image/channels"):
        np.testing.assert_array_equal(one[name], other[name])
    pixels = [tf.io.decode_image(content).numpy() for content in other["image"]]
    for content, image in zip(one["image"], pixels, strict=True):
        assert content == image.tobytes()
    assert set(other["image/format"]) <= {b"png", b"jpeg"}
    assert set(one["image/format"]) == {b""}
    assert encoded.source == raw.source


def delivered(source):
    """The content of each file of a folder, or the encoded images of TFDS's files."""
    if isinstance(source, Folder):
        return [*pictures.contents(Path(source.folder)).values()]
    dataset = tfds_builder.load(source, source.data_dir).as_dataset(
        split="train+test", decoders={"image": tfds.decode.SkipDecoding()}
    )
    return [record["image"].numpy() for record in dataset]


def test_images_are_recorded_byte_for_byte(both, source):
    recorded = [content for split in SPLITS for content in pictures.columns(both[1], split)["image"]]
    assert sorted(recorded) == sorted(delivered(source))


def test_features_are_the_same_from_raw_and_from_encoded_records(both, lend):
    ranges = ((1, 99), (1, 99))
    contracts = (pictures.contract(), pictures.encoded_contract(*ranges))
    made = []
    for examples, contract in zip(both, contracts, strict=True):
        run, settings = lend(), Transform(size=[*pictures.SHAPE[:2]])
        passed = Verdict(run.out, passed=True)
        made.append(transform.function(examples, passed, contract=contract, settings=settings, run=run))
    one, other = (features_by_position(*each) for each in zip(both, made, strict=True))
    shared = one.keys() & other.keys()  # images are drawn into splits by other hashes
    assert len(shared) > 80
    for position in shared:
        for left, right in zip(one[position], other[position], strict=True):
            np.testing.assert_array_equal(left, right)
    assert made[0].graph == made[1].graph


def features_by_position(examples, features):
    """(pixels as they are stored, pixels as the model reads them, label) of each image of train and validation."""
    rows = {}
    for split in ("train", "validation"):
        (stored, labels), (preprocessed, _) = pictures.stored(features, split), pictures.preprocessed(features, split)
        positions = pictures.columns(examples, split)["source/index"].tolist()
        rows |= dict(zip(positions, zip(stored, preprocessed, labels, strict=True), strict=True))
    return rows


@pytest.fixture(scope="module")
def transformed(both, tmp_path_factory):
    """A function from settings to the features of the encoded records. Images of 64 x 64: 140 of them take 1.7 MB."""

    def transformed(**how):
        run, settings = lent(tmp_path_factory.mktemp("features")), Transform(size=[64, 64], **how)
        passed, contract = Verdict(run.out, passed=True), pictures.encoded_contract((1, 99), (1, 99))
        return transform.function(both[1], passed, contract=contract, settings=settings, run=run)

    return transformed


@pytest.fixture(scope="module")
def pixels(transformed):
    return transformed(materialize="pixels")


@pytest.fixture(scope="module")
def records(transformed):
    return transformed(materialize="none")


@pytest.mark.parametrize("disk", [{"materialize": "none"}, {"disk_gb": 1e-6}])
def test_features_may_be_the_records_themselves(disk, transformed, both):
    records = transformed(**disk)
    assert not records.pixels
    for split in ("train", "validation"):
        recorded = list(pictures.columns(records, split)["image"])
        assert recorded == list(pictures.columns(both[1], split)["image"])


@pytest.mark.parametrize("memory_mb", [1, 1024])  # streamed, or in memory
def test_images_decoded_while_training_give_the_same_weights(memory_mb, pixels, records, lend):
    made = (pixels, records)
    assert pixels.pixels
    feeds = [Batches(each, batch_size=8, seed=1, memory_mb=memory_mb) for each in made]
    for epoch in (0, 1):
        totals = [sorted(image.sum() for group, _ in feed.epoch(epoch) for image in flat(group)) for feed in feeds]
        np.testing.assert_allclose(*totals, rtol=1e-6)
    validated = [[images.numpy() for images, _ in feed.validation()] for feed in feeds]
    assert same(*map(np.concatenate, validated))
    settings = Train(model=Mlp(layers=[8]), epochs=2, batch_size=8, memory_mb=memory_mb)
    assert same(*(weights(trained(each, settings, lend())) for each in made))


def flat(group):
    return group.numpy().reshape(-1, *group.shape[2:])


def test_scaling_by_imagenets_constants_needs_no_pass(both, lend):
    run, settings = lend(), Transform(scale="imagenet", size=[*pictures.SHAPE[:2]])
    passed = Verdict(run.out, passed=True)
    contract = pictures.encoded_contract((1, 99), (1, 99))
    made = transform.function(both[1], passed, contract=contract, settings=settings, run=run)
    pixels, scaled = pictures.stored(made, "train")[0], pictures.preprocessed(made, "train")[0]
    expected = (pixels / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    grey = Transform(scale="imagenet", size=[8, 8], channels=1)
    with pytest.raises(ConfigurationError, match="imagenet, which is of 3 channels, and the model's input has 1"):
        transform.function(both[1], passed, contract=contract, settings=grey, run=lend())


@pytest.mark.parametrize("settings", [{"size": [20, 16]}, {"size": [20, 16], "channels": 1}, {"channels": 1}])
def test_raw_records_are_resized_too(settings, both, lend):
    run = lend()
    passed = Verdict(run.out, passed=True)
    made = transform.function(both[0], passed, contract=pictures.contract(), settings=Transform(**settings), run=run)
    expected = (*settings.get("size", pictures.SHAPE[:2]), settings.get("channels", 3))
    assert made.shape == expected
    assert pictures.stored(made, "train")[0].shape == (both[0].splits["train"].count, *expected)


def pngs(count, *, seed, level=1):
    random = np.random.default_rng(seed)
    for i in range(count):
        yield imagecodecs.png_encode(random.integers(0, 256, (20 + i % 5, 30, 3), np.uint8), level=level)


@pytest.fixture
def odd(tmp_path):
    """60 and 9 images of several sizes; two of the test images are in train, saved in another way."""
    train, test = list(pngs(60, seed=1)), list(pngs(9, seed=2))
    test[:2] = list(pngs(60, seed=1, level=9))[:2]
    test[8] = bytes(tf.io.encode_jpeg(np.zeros((40, 40, 3), np.uint8)).numpy())
    assert test[0] != train[0]
    return encoded_examples(tmp_path / "own", train=train, validation=list(pngs(9, seed=3)), test=test)


def test_statistics_of_encoded_images_have_formats_sizes_and_copies(odd, lend):
    run = lend()
    describe.function(odd, run=run)
    found = statistics.read(run.out / "stats.tfrecord")
    assert statistics.values(found["train"], "image/format") == {"png": 60}
    assert statistics.values(found["test"], "image/format") == {"png": 8, "jpeg": 1}
    assert statistics.value_range(found["train"], "image/height") == "20–24"
    assert statistics.custom(found["test"], "malformed") == 0
    assert statistics.custom(found["test"], "constant") == 1
    assert statistics.leaked(found["test"]) == {"train": 2}
    assert sum(statistics.pixels(found["train"])) == 60 * 64 * 64 * 3


def test_formats_and_sizes_outside_the_contract_are_refused(odd, lend):
    run = lend()
    described = describe.function(odd, run=run)
    contract = pictures.encoded_contract((10, 30), (10, 30))
    allowed = '" type: BYTES presence { min_fraction: 1.0 } shape {} string_domain { value: "png" } }\n'
    contract = type(contract)("own.pbtxt", contract.text + 'feature { name: "image/format' + allowed)
    checks = Validate(skew="ignore", leakage="ignore", duplicates="ignore", constant="ignore")
    verdict = validate.function(described, None, contract=contract, checks=checks, run=lend())
    assert sorted(verdict.reasons) == [
        "test: image/format is jpeg (1 times); own.pbtxt allows png",
        "test: image/height is 40 (1 times); own.pbtxt allows 10 to 30",
        "test: image/width is 40 (1 times); own.pbtxt allows 10 to 30",
    ]


@pytest.mark.parametrize("form", ["images", "idx", "records"])
def test_a_span_of_any_form_is_collected_as_encoded_images(form, tmp_path, data_dir, sample, lend):
    images, labels = spans.digits(data_dir, 0, 20)
    spans.deliver(tmp_path, "span-1", images, labels, form)
    run = lend()
    collected = spans.collected(tmp_path, run, encoding="encoded")
    shards = sorted((collected.path / "span-1").glob("*.tfrecord"))
    records = [r for shard in shards for r in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()]
    columns = example.parse(records, shards[0])
    assert set(columns["image/format"]) == {b"png"}
    pixels = sorted(tf.io.decode_png(content).numpy().tobytes() for content in columns["image"])
    assert pixels == sorted(image.tobytes() for image in images)
