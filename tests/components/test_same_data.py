"""The same photos as a folder, a CSV file, a Parquet file and a TFDS dataset: the same records, and the same model."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds

from components.ingest import ingest
from components.sources.reading import place_of
from components.transform import transform
from schemas.artifacts import Verdict
from schemas.settings.source import Folder, Table, Tfds
from schemas.settings.train import Cnn, Train
from schemas.settings.transform import Transform
from tests.components import pictures
from tests.components.image_files import encoded
from tests.components.trainings import same, trained, weights
from tests.conftest import UNPREPARED

NAMES = ("cat", "dog")
SPLITS = ("train", "validation", "test")


def photos() -> Iterator[tuple[str, str, bytes]]:
    """(label, file, content) of JPEG files of many sizes, sorted."""
    random = np.random.default_rng(7)
    for name in NAMES:
        for i in range(60):
            height, width = random.integers(20, 50, 2)
            image = PIL.Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
            yield name, f"{i:03d}.jpg", encoded(image, "JPEG", quality=80)


class SortedPhotos(tfds.core.GeneratorBasedBuilder):
    """The photos in their order, as TFDS keeps it for a dataset that states so."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=NAMES),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label"), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i, (label, _, content) in enumerate(photos()):
            yield i, {"image": io.BytesIO(content), "label": label}


def write_folder(root: Path) -> Path:
    for label, file, content in photos():
        path = root / label / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("same")
    folder = write_folder(root / "photos")
    with (root / "photos.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label"])
        rows.writerows((f"photos/{label}/{name}", label) for label, name, _ in photos())
    contents = [{"bytes": content, "path": name} for _, name, content in photos()]
    pq.write_table(pa.table({"image": contents, "label": [label for label, _, _ in photos()]}), root / "photos.parquet")
    return {
        "folder": Folder(folder=str(folder)),
        "csv": Table(table=str(root / "photos.csv")),
        "parquet": Table(table=str(root / "photos.parquet")),
        "tfds": Tfds(tfds="sorted_photos", module=__name__, data_dir=str(root / "tfds"), test=0.2),
    }


@pytest.mark.slow
def test_equal_photos_give_equal_records_and_the_same_model_from_every_source(sources, new_run):
    examples = {
        name: ingest.function(UNPREPARED, source=source, place=place_of(source), encoding="encoded", run=new_run())
        for name, source in sources.items()
    }
    folder = examples["folder"]
    for name, other in examples.items():
        for split in SPLITS:
            expected, columns = (pictures.columns(each, split) for each in (folder, other))
            assert columns.keys() == expected.keys(), name
            own = {column for column in columns if not column.startswith("source/")}
            assert own == {"image", "image/format", "image/height", "image/width", "image/channels", "label"}
            for column in own:
                np.testing.assert_array_equal(columns[column], expected[column], f"{name}: {column} of {split}")
    contract = pictures.encoded_contract((20, 50), (20, 50), classes=len(NAMES))
    models = {}
    for name, each in examples.items():
        run = new_run()
        passed, resized = Verdict(run.out, passed=True), Transform(size=[24, 24])
        features = transform.function(each, passed, contract=contract, settings=resized, run=run)
        settings = Train(model=Cnn(filters=[4], dense=4, pooling="average", flip=True), epochs=1, batch_size=16)
        models[name] = weights(trained(features, settings, new_run()))
    for name, model in models.items():
        assert same(models["folder"], model), name
