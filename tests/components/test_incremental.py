"""Runs after some files have changed: unchanged pieces are linked, and the result is that of a run from scratch."""

import shutil
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.describe import describe
from components.ingest import ingest
from components.sources import cutting
from components.sources.reading import place_of
from components.transform import transform
from schemas import disk, files
from schemas.artifacts import Verdict
from schemas.settings.source import Folder
from schemas.settings.transform import Transform
from tests.components import pictures
from tests.components.image_files import image_folder
from tests.conftest import UNPREPARED


def stored(artifact):
    """The artifact with a manifest, as the store writes it."""
    disk.write_json(artifact.path / files.MANIFEST, {"files": files.listing(artifact.path)})
    return artifact


def run_line(folder, new_run, earlier=()):
    """(artifacts of ingest, describe and transform; their messages)."""
    runs = [new_run(previous_artifacts=[each] if each else []) for each in (earlier or (None, None, None))]
    source = Folder(folder=str(folder), shard_size=30)
    examples = stored(
        ingest.function(UNPREPARED, source=source, place=place_of(source), encoding="encoded", run=runs[0])
    )
    statistics = stored(describe.function(examples, run=runs[1]))
    features = stored(
        transform.function(
            examples,
            Verdict(folder, passed=True),
            contract=pictures.encoded_contract((1, 100), (1, 100)),
            settings=Transform(size=[6, 6], channels=3),
            run=runs[2],
        )
    )
    return (examples, statistics, features), [message for run in runs for message in run.logged]


def digests(artifact):
    return files.digest(files.listing(artifact.path), None, artifact.interpreted)


def add(folder):
    shutil.copy(folder / "red/0000.png", folder / "red/9999.png")


def remove(folder):
    (folder / "green/0004.png").unlink()


def edit(folder):
    shutil.copy(folder / "red/0000.png", folder / "blue/0008.png")


def rename(folder):
    (folder / "green/0007.png").rename(folder / "green/7.png")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    from tests.conftest import folder_run

    root = tmp_path_factory.mktemp("first")
    images, labels = pictures.pictures(300, seed=3)
    folder = image_folder(root / "colours", images, labels, pictures.NAMES)
    numbers = iter(range(10))
    artifacts, _ = run_line(folder, lambda **options: folder_run(root / str(next(numbers)), **options))
    return folder, artifacts


@pytest.mark.parametrize("change", [add, remove, edit, rename])
def test_after_a_change_the_result_is_that_of_a_run_from_scratch(change, first, tmp_path, new_run):
    folder = tmp_path / "colours"
    shutil.copytree(first[0], folder)
    change(folder)
    artifacts, messages = run_line(folder, new_run, first[1])
    from_scratch, _ = run_line(folder, new_run)
    assert list(map(digests, artifacts)) == list(map(digests, from_scratch))
    assert [artifact.splits for artifact in artifacts[::2]] == [artifact.splits for artifact in from_scratch[::2]]
    assert "pieces unchanged" in messages[0]
    for new, old in zip(artifacts, first[1], strict=True):
        common = files.contents(new.path).keys() & files.contents(old.path).keys()
        linked = [name for name in common if (new.path / name).samefile(old.path / name)]
        assert len(linked) > len(common) / 2


def test_a_damaged_shard_is_read_again(first, tmp_path, new_run):
    folder, (examples, *_) = first
    copy = tmp_path / "copy"
    shutil.copytree(examples.path, copy)
    shard = copy / examples.splits["train"].shards[0]
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    run, source = (
        new_run(previous_artifacts=[type(examples)(copy, splits=examples.splits, source="")]),
        Folder(folder=str(folder), shard_size=30),
    )
    again = ingest.function(UNPREPARED, source=source, place=place_of(source), encoding="encoded", run=run)
    count = len(examples.splits["train"].shards)
    assert run.logged[0] == f"{count - 1} of {count} pieces unchanged, 1 read"
    assert digests(again) == digests(examples)


def pieces(sized, most_files=5, most_bytes=40):
    names, sizes = list(sized), list(sized.values())
    ends = cutting.ends(cutting.positions(names), sizes, most_files, most_bytes)
    return [dict(list(sized.items())[first:end]) for first, end in pairwise([0, *ends])]


sized_files = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(0, 50), min_size=1, max_size=60)


@given(sized_files)
def test_pieces_partition_the_files_in_order_and_are_bounded(sized):
    cut = pieces(sized)
    assert [name for piece in cut for name in piece] == list(sized)
    assert all(1 <= len(piece) <= 5 for piece in cut)
    assert all(len(piece) == 1 or sum(piece.values()) <= 40 for piece in cut)


@given(sized_files, st.data())
def test_a_change_leaves_pieces_further_away_than_the_largest_as_they_are(sized, data):
    removed = data.draw(st.sampled_from(sorted(sized)))
    before, place = pieces(sized), list(sized).index(removed)
    after = pieces({name: size for name, size in sized.items() if name != removed})
    changed = [name for piece in before if piece not in after for name in piece]
    assert all(abs(list(sized).index(name) - place) <= 2 * 5 for name in changed)


def test_positions_are_unique_and_depend_on_names_alone():
    names = ["a/1.jpg", "b/é.jpg", "a/1.jpg"]
    numbers = cutting.positions(names)
    assert len({*numbers}) == 3
    assert all(0 <= number < 2**53 for number in numbers)
    assert cutting.positions(["x", *names])[1:] == numbers
    assert cutting.positions(["b/e\u0301.jpg"]) == [numbers[1]]  # as macOS writes it
