"""Near copies: every kind of copy is detected, and nothing else."""

import hashlib
import json
import tracemalloc

import hypothesis
import numpy as np
import PIL.Image
import pytest
from hypothesis import strategies as st
from scipy import ndimage

from components._data import near_copies, near_pictures
from components._data.decoding import to_arrays
from components._data.shard_statistics import THUMBNAIL
from components.describe import describe
from components.mix import mix
from components.validate import validate
from schemas import statistics
from schemas.artifacts import DamagedFile
from schemas.settings.spans import READY
from schemas.settings.validate import Validate
from tests import spans
from tests.components import pictures
from tests.components.image_files import encoded, encoded_examples
from tests.components.span_stages import ALL

COUNT = 60


def scenes(count: int, seed: int) -> list[PIL.Image.Image]:
    """Smooth random images of several sizes."""
    random = np.random.default_rng(seed)
    for i in range(count):
        height, width = 80 + 7 * (i % 9), 90 + 5 * (i % 11)
        noise = ndimage.gaussian_filter(random.normal(size=(height, width, 3)), (6, 6, 0))
        yield PIL.Image.fromarray(np.clip(128 + 900 * noise, 0, 255).astype(np.uint8))


def jpeg(image: PIL.Image.Image, quality: int = 90) -> bytes:
    return encoded(image, "JPEG", quality=quality)


COPIES = {
    "re-encoded": lambda image: jpeg(image, 60),
    "half the size": lambda image: jpeg(image.resize((image.width // 2, image.height // 2))),
    "mirrored": lambda image: jpeg(image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)),
    "small, mirrored and re-encoded": lambda image: jpeg(
        image.resize((image.width // 2, image.height // 2)).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT), 60
    ),
    "brighter": lambda image: jpeg(image.point(lambda value: min(255, value + 20))),
}


def hashed(contents: list[bytes]) -> np.ndarray:
    return hashed_pictures(to_arrays(np.array(contents, object), THUMBNAIL))


def hashed_pictures(images: np.ndarray) -> np.ndarray:
    digests = [int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest()) for image in images]
    return near_copies.hashes(images, np.arange(len(images)), np.array(digests, np.uint64))


def pairs(rows: np.ndarray) -> list[list[int]]:
    """All pairs of near copies; each row is a split of its own."""
    best = near_copies.partners(rows, np.arange(len(rows)))
    assert (np.diag(best) == -1).all()
    assert (best == np.where(best >= 0, np.arange(len(rows)), -1)).all()
    assert ((best >= 0) == (best >= 0).T).all()
    return np.argwhere(np.triu(best >= 0)).tolist()


@pytest.fixture(scope="module")
def originals():
    return [jpeg(scene) for scene in scenes(COUNT, 1)]


@pytest.mark.parametrize("kind", COPIES)
def test_exactly_the_copies_are_paired(kind, originals):
    copies = [COPIES[kind](scene) for scene in scenes(COUNT, 1)]
    rows = hashed([*originals, *copies])
    positions = rows[:, 4].astype(int).tolist()
    found = {(positions[one], positions[other]) for one, other in pairs(rows)}
    assert found <= {(i, i + COUNT) for i in range(COUNT)}
    assert len(found) >= 0.98 * COUNT


def test_different_images_are_not_paired(originals):
    rows = hashed([*originals, *(jpeg(scene) for scene in scenes(COUNT, 2))])
    assert pairs(rows) == []


def test_near_copies_within_a_split_are_counted_and_are_no_leakage(originals, tmp_path, new_run):
    train = [*originals[:30], *(COPIES["mirrored"](scene) for scene in list(scenes(30, 1))[:4]), originals[7]]
    examples = encoded_examples(tmp_path / "own", train=train, test=[jpeg(scene) for scene in scenes(20, 3)])
    described = describe.function(examples, run=new_run())
    train_statistics = statistics.read(described.path / "stats.tfrecord")["train"]
    assert described.near_copies() == [("train", i, "train", 30 + i) for i in range(4)]
    assert statistics.near_copies(train_statistics) == {"train": 8}
    assert statistics.custom(train_statistics, "duplicates") == 1, "exact copies are not near ones"
    assert described.leaked("test") == set()
    assert len(described.near_pictured()) == 4
    checks = Validate(skew="ignore", duplicates="warning", constant="ignore")
    contract = pictures.encoded_contract((10, 500), (10, 500))
    verdict = validate.function(described, None, contract=contract, checks=checks, run=new_run())
    assert "train: 8 images are re-encoded, resized or mirrored copies of each other" in verdict.warnings


def test_raw_colour_images_of_32_pixels_have_near_copies_and_digits_have_none(tmp_path, new_run):
    small = np.stack([np.asarray(scene.resize((32, 32))) for scene in scenes(40, 1)])
    test = np.stack([np.asarray(scene.resize((32, 32))) for scene in scenes(20, 2)])
    test[3] = small[11, :, ::-1]
    labels = np.arange(40) % 3
    split = {"train": (small, labels), "test": (test, labels[:20])}
    described = describe.function(pictures.examples(tmp_path / "own", **split), run=new_run())
    assert described.near_copies() == [("test", 3, "train", 11)]
    assert described.leaked("test") == {3}
    one, other = described.near_pictures().astype(int)
    assert np.abs(one - other[:, ::-1]).mean() < 1
    grey = {name: (images[..., :1], labels_) for name, (images, labels_) in split.items()}
    described = describe.function(pictures.examples(tmp_path / "grey", **grey), run=new_run())
    assert described.near_copies() == []
    assert not list((described.path / "parts").glob("*.near.npy"))


def test_nearly_constant_images_are_not_compared():
    white = PIL.Image.new("RGB", (90, 90), "white")
    assert len(hashed([jpeg(white), jpeg(white, 60), jpeg(PIL.Image.new("L", (40, 50), 7))])) == 0
    assert pairs(hashed([jpeg(white)])) == []
    one = hashed([jpeg(scene) for scene in scenes(2, 1)])
    assert near_copies.partners(one, np.array([0, 2])).tolist() == [[-1, -1, -1]] * 2  # no row in split 1


@hypothesis.given(st.lists(st.integers(0, 2**112 - 1), max_size=8), st.integers(0, 10**6))
def test_all_hashes_within_the_distance_are_paired(values, seed):
    """Compared with a comparison of all pairs. Some hashes are copies with a few flipped bits."""
    random = np.random.default_rng(seed)
    flipped = (random.choice(112, 1 + i, replace=False).tolist() for i in range(len(values)))
    values += [value ^ sum(1 << bit for bit in bits) for value, bits in zip(values, flipped, strict=True)]
    packed = [np.frombuffer(value.to_bytes(16, "little"), np.uint64) for value in values]
    other = [np.frombuffer((~value % 2**112).to_bytes(16, "little"), np.uint64) for value in values]
    rows = np.array([[*p, *o, i, i] for i, (p, o) in enumerate(zip(packed, other, strict=True))], np.uint64).reshape(
        -1, 6
    )
    are_near = lambda a, b: min((a ^ b).bit_count(), (a ^ ~b % 2**112).bit_count()) <= near_copies.MAX_BITS  # noqa: E731
    expected = [[i, j] for i in range(len(values)) for j in range(i + 1, len(values)) if are_near(values[i], values[j])]
    assert pairs(rows) == expected


def test_near_copies_across_splits_are_excluded_from_the_test_metrics(originals, tmp_path, new_run):
    test = [jpeg(scene) for scene in scenes(20, 3)]
    test[4], test[9] = (COPIES["mirrored"](scene) for scene in list(scenes(COUNT, 1))[7:9])
    validation = [jpeg(scene) for scene in scenes(20, 4)]
    validation[2] = COPIES["half the size"](list(scenes(20, 3))[6])
    test[0] = originals[30]
    examples = encoded_examples(tmp_path / "own", train=originals, validation=validation, test=test)
    described = describe.function(examples, run=new_run())
    statistics_ = statistics.read(described.path / "stats.tfrecord")
    assert statistics.leaked(statistics_["test"]) == {"train": 1}
    assert statistics.near_copies(statistics_["test"]) == {"train": 2, "validation": 1}
    assert described.leaked("test") == {0, 4, 6, 9}
    assert described.near_copies() == [("test", 4, "train", 7), ("test", 6, "validation", 2), ("test", 9, "train", 8)]
    assert [[each.split, each.index, each.label] for each in described.near_pictured()[0]] == [
        ["test", 4, 1],
        ["train", 7, 1],
    ]
    assert [(each.height, each.width) for each in described.near_pictured()[1]] == [(122, 120), (61, 60)]
    shown = described.near_pictures().reshape(3, 2, 128, 128, 3).astype(int)
    for (one, other), mirrored in zip(shown, (True, False, True), strict=True):
        assert np.abs(one - (other[:, ::-1] if mirrored else other)).mean() < 5
    assert not (described.path / "pictures").exists()
    checks = Validate(skew="ignore", duplicates="ignore", constant="ignore")
    contract = pictures.encoded_contract((10, 500), (10, 500))
    verdict = validate.function(described, None, contract=contract, checks=checks, run=new_run())
    assert verdict.passed
    assert verdict.warnings == (
        "test: 1 images are also in train; they are excluded from the test metrics",
        "test: 2 images are re-encoded, resized or mirrored copies of images in train; they are excluded from the test "
        "metrics",
        "test: 1 images are re-encoded, resized or mirrored copies of images in validation; they are excluded from the "
        "test metrics",
    )
    assert json.loads((described.path / "leaked.json").read_text(encoding="utf-8")) == [0, 4, 6, 9]


def test_pictures_of_near_copies_do_not_depend_on_shards_and_processes(originals, tmp_path, new_run):
    """Of many pairs, the first; and the same bytes however the records are split into shards and processes."""
    test = [COPIES["re-encoded"](scene) for scene in list(scenes(COUNT, 1))[:30]]
    validation = [jpeg(scene) for scene in scenes(20, 4)]
    examples = encoded_examples(tmp_path / "own", train=originals, validation=validation, test=test)
    cut = tmp_path / "cut"
    cut.mkdir()
    splits = {split: pictures.write(cut, split, pictures.records(examples, split), 4) for split in examples.splits}
    described = [
        describe.function(each, run=new_run(workers=workers))
        for each, workers in ((examples, 1), (type(examples)(cut, splits=splits, source="own"), 2))
    ]
    assert len(described[0].near_copies()) == 30
    assert [pair[0].index for pair in described[0].near_pictured()] == list(range(near_pictures.SHOWN))
    for name in ("near.json", "near-pictured.json", "near-pictures.npy"):
        one, other = ((each.path / name).read_bytes() for each in described)
        assert one == other


def test_pictures_of_near_copies_in_spans_come_from_the_right_records(originals, tmp_path, new_run):
    """Two spans hold copies of test images; positions in spans begin anew in each."""
    test = [*scenes(6, 3)]
    examples = encoded_examples(
        tmp_path / "own",
        train=originals[:20],
        validation=[jpeg(scene) for scene in scenes(5, 4)],
        test=[jpeg(scene) for scene in test],
    )
    for name, copied in (("span-1", test[:3]), ("span-2", test[3:])):
        (tmp_path / "spans" / name / "0").mkdir(parents=True)
        for i, scene in enumerate(copied):
            (tmp_path / "spans" / name / f"0/{i}.jpg").write_bytes(COPIES["mirrored"](scene))
        (tmp_path / "spans" / name / READY).touch()
    found = spans.collected(tmp_path / "spans", new_run(), encoding="encoded", validation=0.0, fresh=0.0)
    admission = spans.admission_of(new_run(), "span-1", "span-2")
    mixed = mix.function(examples, describe.function(examples, run=new_run()), found, admission, **ALL, run=new_run())
    pairs = mixed.near_pictured()
    assert [(one.split, one.index, other.split) for one, other in pairs] == [("test", i, "train") for i in range(6)]
    assert [other.index for _, other in pairs] == [0, 1, 2] * 2
    for one, other in mixed.near_pictures().reshape(6, 2, 128, 128, 3).astype(int):
        assert np.abs(one - other[:, ::-1]).mean() < 5


def test_without_near_copies_there_are_no_pictures(originals, tmp_path, new_run):
    examples = encoded_examples(tmp_path / "own", train=originals, test=[jpeg(scene) for scene in scenes(20, 4)])
    described = describe.function(examples, run=new_run())
    assert described.near_copies() == []
    with pytest.raises(DamagedFile, match=r"near-pictured\.json cannot be read: FileNotFoundError"):
        described.near_pictured()


def test_a_test_split_of_near_copies_only_is_refused_before_training(originals, tmp_path, new_run):
    test = [COPIES["mirrored"](scene) for scene in list(scenes(COUNT, 1))[:20]]
    examples = encoded_examples(
        tmp_path / "own", train=originals, validation=[jpeg(scene) for scene in scenes(20, 4)], test=test
    )
    described = describe.function(examples, run=new_run())
    checks = Validate(skew="ignore", duplicates="ignore", constant="ignore")
    contract = pictures.encoded_contract((10, 500), (10, 500))
    verdict = validate.function(described, None, contract=contract, checks=checks, run=new_run())
    assert not verdict.passed
    assert verdict.reasons == ("test: every image is a near copy of an image in train, so no test images are left",)


@pytest.mark.parametrize("exact", [1, 20_000])
def test_near_copies_need_memory_per_image_and_not_per_pair(exact):
    random = np.random.default_rng(1)
    rows = np.repeat(random.integers(0, 2**63, (1, 6), np.uint64), 20_000, axis=0)
    rows[:, 4] = np.arange(20_000)
    rows[:, 5] = np.arange(20_000) // exact
    split = np.arange(20_000) % 2
    tracemalloc.start()
    best = near_copies.partners(rows, split)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    other = best[np.arange(20_000), 1 - split]
    assert (split[other] == 1 - split).all()
    within = best[np.arange(20_000), split]
    if exact == 1:
        assert (split[within] == split).all()
        assert (within != np.arange(20_000)).all()
    else:
        assert (within == -1).all()
    assert peak < 1000 * len(rows)  # 400 million pairs would take 6 GB
