"""Records with encoded images contain the same images as raw records, for every source."""

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
from schemas import shard_reader, statistics
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
from tests.conftest import UNPREPARED, folder_run

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
def raw_and_encoded(source, tmp_path_factory):
    """(raw, encoded) examples of one source."""
    return tuple(
        ingested(source, encoding, folder_run(tmp_path_factory.mktemp(encoding))) for encoding in ("raw", "encoded")
    )


def by_position(examples):
    """The columns of all records, in the order of the source."""
    splits = [pictures.columns(examples, split) for split in SPLITS]
    columns = {name: np.concatenate([split[name] for split in splits]) for name in splits[0]}
    order = np.lexsort([columns["source/index"], columns["source/split"]])
    return {name: values[order] for name, values in columns.items()}


def test_raw_and_encoded_records_contain_the_same_images(raw_and_encoded):
    raw, encoded = raw_and_encoded
    one, other = map(by_position, raw_and_encoded)
    for name in ("label", "source/split", "source/index", "image/height", "image/width", "image/channels"):
        np.testing.assert_array_equal(one[name], other[name])
    pixels = [tf.io.decode_image(content).numpy() for content in other["image"]]
    for content, image in zip(one["image"], pixels, strict=True):
        assert content == image.tobytes()
    assert set(other["image/format"]) <= {b"png", b"jpeg"}
    assert set(one["image/format"]) == {b""}
    assert encoded.source == raw.source


def delivered_contents(source):
    """The content of each file of a folder, or the encoded images of TFDS's files."""
    if isinstance(source, Folder):
        return [*pictures.contents(Path(source.folder)).values()]
    dataset = tfds_builder.load(source, source.data_dir).as_dataset(
        split="train+test", decoders={"image": tfds.decode.SkipDecoding()}
    )
    return [record["image"].numpy() for record in dataset]


def test_encoded_images_are_stored_unchanged(raw_and_encoded, source):
    recorded = [content for split in SPLITS for content in pictures.columns(raw_and_encoded[1], split)["image"]]
    assert sorted(recorded) == sorted(delivered_contents(source))


def test_features_are_equal_from_raw_and_encoded_records(raw_and_encoded, new_run):
    ranges = ((1, 99), (1, 99))
    contracts = (pictures.contract(), pictures.encoded_contract(*ranges))
    features = []
    for examples, contract in zip(raw_and_encoded, contracts, strict=True):
        run, settings = new_run(), Transform(size=[*pictures.SHAPE[:2]])
        passed = Verdict(run.out, passed=True)
        features.append(transform.function(examples, passed, contract=contract, settings=settings, run=run))
    one, other = (features_by_position(*pair) for pair in zip(raw_and_encoded, features, strict=True))
    shared = one.keys() & other.keys()  # raw and encoded images are split by different hashes
    assert len(shared) > 80
    for position in shared:
        for left, right in zip(one[position], other[position], strict=True):
            np.testing.assert_array_equal(left, right)
    assert features[0].graph == features[1].graph


def features_by_position(examples, features):
    """(stored pixels, preprocessed pixels, label) of each image of train and validation."""
    rows = {}
    for split in ("train", "validation"):
        (stored, labels), (preprocessed, _) = pictures.stored(features, split), pictures.preprocessed(features, split)
        positions = pictures.columns(examples, split)["source/index"].tolist()
        rows |= dict(zip(positions, zip(stored, preprocessed, labels, strict=True), strict=True))
    return rows


@pytest.fixture(scope="module")
def transform_encoded(raw_and_encoded, tmp_path_factory):
    """A function from settings to the features of the encoded records. 140 images of 64 x 64 take 1.7 MB."""

    def transform_encoded(**options):
        run, settings = folder_run(tmp_path_factory.mktemp("features")), Transform(size=[64, 64], **options)
        passed, contract = Verdict(run.out, passed=True), pictures.encoded_contract((1, 99), (1, 99))
        return transform.function(raw_and_encoded[1], passed, contract=contract, settings=settings, run=run)

    return transform_encoded


@pytest.fixture(scope="module")
def pixels(transform_encoded):
    return transform_encoded(materialize="pixels")


@pytest.fixture(scope="module")
def records(transform_encoded):
    return transform_encoded(materialize="none")


@pytest.mark.parametrize("disk", [{"materialize": "none"}, {"disk_gb": 1e-6}])
def test_features_can_be_the_records(disk, transform_encoded, raw_and_encoded):
    records = transform_encoded(**disk)
    assert not records.pixels
    for split in ("train", "validation"):
        recorded = list(pictures.columns(records, split)["image"])
        assert recorded == list(pictures.columns(raw_and_encoded[1], split)["image"])


@pytest.mark.slow
@pytest.mark.parametrize("memory_mb", [1, 1024])  # streamed, or in memory
def test_decoding_during_training_gives_the_same_weights(memory_mb, pixels, records, new_run):
    features = (pixels, records)
    assert pixels.pixels
    feeds = [Batches(features_, batch_size=8, seed=1, memory_mb=memory_mb) for features_ in features]
    for epoch in (0, 1):
        totals = [
            sorted(image.sum() for group, _ in feed.epoch(epoch) for image in images_of_group(group)) for feed in feeds
        ]
        np.testing.assert_allclose(*totals, rtol=1e-6)
    validated = [[images.numpy() for images, _ in feed.validation()] for feed in feeds]
    assert same(*map(np.concatenate, validated))
    settings = Train(model=Mlp(layers=[8]), epochs=2, batch_size=8, memory_mb=memory_mb)
    assert same(*(weights(trained(features_, settings, new_run())) for features_ in features))


def images_of_group(group):
    return group.numpy().reshape(-1, *group.shape[2:])


def test_imagenet_scaling_uses_fixed_constants(raw_and_encoded, new_run):
    run, settings = new_run(), Transform(scale="imagenet", size=[*pictures.SHAPE[:2]])
    passed = Verdict(run.out, passed=True)
    contract = pictures.encoded_contract((1, 99), (1, 99))
    features = transform.function(raw_and_encoded[1], passed, contract=contract, settings=settings, run=run)
    pixels, scaled = pictures.stored(features, "train")[0], pictures.preprocessed(features, "train")[0]
    expected = (pixels / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    grey = Transform(scale="imagenet", size=[8, 8], channels=1)
    with pytest.raises(ConfigurationError, match="imagenet, which is of 3 channels, and the model's input has 1"):
        transform.function(raw_and_encoded[1], passed, contract=contract, settings=grey, run=new_run())


@pytest.mark.parametrize("settings", [{"size": [20, 16]}, {"size": [20, 16], "channels": 1}, {"channels": 1}])
def test_raw_records_are_resized(settings, raw_and_encoded, new_run):
    run = new_run()
    passed = Verdict(run.out, passed=True)
    features = transform.function(
        raw_and_encoded[0], passed, contract=pictures.contract(), settings=Transform(**settings), run=run
    )
    expected = (*settings.get("size", pictures.SHAPE[:2]), settings.get("channels", 3))
    assert features.shape == expected
    assert pictures.stored(features, "train")[0].shape == (raw_and_encoded[0].splits["train"].count, *expected)


def pngs(count, *, seed, level=1):
    random = np.random.default_rng(seed)
    for i in range(count):
        yield imagecodecs.png_encode(random.integers(0, 256, (20 + i % 5, 30, 3), np.uint8), level=level)


@pytest.fixture
def unusual(tmp_path):
    """60 and 9 images of several sizes; two of the test images are in train with another encoding."""
    train, test = list(pngs(60, seed=1)), list(pngs(9, seed=2))
    test[:2] = list(pngs(60, seed=1, level=9))[:2]
    test[8] = bytes(tf.io.encode_jpeg(np.zeros((40, 40, 3), np.uint8)).numpy())
    assert test[0] != train[0]
    return encoded_examples(tmp_path / "own", train=train, validation=list(pngs(9, seed=3)), test=test)


def test_statistics_of_encoded_images_count_formats_sizes_and_copies(unusual, new_run):
    run = new_run()
    describe.function(unusual, run=run)
    statistics_ = statistics.read(run.out / "stats.tfrecord")
    assert statistics.values(statistics_["train"], "image/format") == {"png": 60}
    assert statistics.values(statistics_["test"], "image/format") == {"png": 8, "jpeg": 1}
    assert statistics.value_range(statistics_["train"], "image/height") == "20–24"
    assert statistics.custom(statistics_["test"], "malformed") == 0
    assert statistics.custom(statistics_["test"], "constant") == 1
    assert statistics.leaked(statistics_["test"]) == {"train": 2}
    assert sum(statistics.pixels(statistics_["train"])) == 60 * 64 * 64 * 3


def test_formats_and_sizes_outside_the_contract_are_refused(unusual, new_run):
    run = new_run()
    described = describe.function(unusual, run=run)
    contract = pictures.encoded_contract((10, 30), (10, 30))
    allowed = '" type: BYTES presence { min_fraction: 1.0 } shape {} string_domain { value: "png" } }\n'
    contract = type(contract)("own.pbtxt", contract.text + 'feature { name: "image/format' + allowed)
    checks = Validate(skew="ignore", leakage="ignore", duplicates="ignore", constant="ignore")
    verdict = validate.function(described, None, contract=contract, checks=checks, run=new_run())
    assert sorted(verdict.reasons) == [
        "test: image/format is jpeg (1 times); own.pbtxt allows png",
        "test: image/height is 40 (1 times); own.pbtxt allows 10 to 30",
        "test: image/width is 40 (1 times); own.pbtxt allows 10 to 30",
    ]


@pytest.mark.parametrize("layout", ["images", "idx", "records"])
def test_a_span_of_any_layout_is_collected_as_encoded_images(layout, tmp_path, data_dir, sample, new_run):
    images, labels = spans.digits(data_dir, 0, 20)
    spans.deliver(tmp_path, "span-1", images, labels, layout)
    run = new_run()
    collected = spans.collected(tmp_path, run, encoding="encoded")
    shards = sorted((collected.path / "span-1").glob("*.tfrecord"))
    records = [r for shard in shards for r in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()]
    columns = shard_reader.parse(records, shards[0])
    assert set(columns["image/format"]) == {b"png"}
    pixels = sorted(tf.io.decode_png(content).numpy().tobytes() for content in columns["image"])
    assert pixels == sorted(image.tobytes() for image in images)
