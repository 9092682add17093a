"""`make bench`: whole lines and bare Keras scripts of the same trainings, side by side, and the speed of the stages.

make bench BENCH_DATA=/data     # with /data/mnist (the original files), /data/cats_dogs and /data/cifar10, as available
make bench ONLY=files           # mnist, cats_dogs, cifar10 or files

MNIST is downloaded if it is not there; the photos and the files are generated.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import files, generated, mnist, photos
from tests.benchmarks.table import Row, show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with mnist, cats_dogs and cifar10, as available")
    parser.add_argument("--mnist", default="", help="a folder of the original MNIST files")
    parser.add_argument("--cats-dogs", type=Path, help="a folder of photos, in a folder for each label")
    parser.add_argument("--cifar10", type=Path, help="a folder of train/<label>/ and test/<label>/")
    parser.add_argument("--only", choices=["mnist", "cats_dogs", "cifar10", "files"], action="append")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()

    def given(name: str, option: Path | None) -> Path | None:
        if option is None and options.data and (options.data / name).is_dir():
            return options.data / name
        return option

    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        benchmarks: dict[str, Callable[[], list[Row]]] = {
            "mnist": lambda: mnist.rows(options.mnist or str(given("mnist", None) or ""), work, options.runs),
            "cats_dogs": lambda: photos.rows(
                "cats_dogs", given("cats_dogs", options.cats_dogs) or generated.photos(work / "photos"), work
            ),
            "cifar10": lambda: photos.rows(
                "cifar10", given("cifar10", options.cifar10) or generated.small_images(work / "small"), work
            ),
            "files": lambda: files.rows(work),
        }
        rows: list[Row] = []
        for name in options.only or benchmarks:
            rows += benchmarks[name]()
            print(f"{name} is measured", flush=True)
    show(rows)


if __name__ == "__main__":
    main()
