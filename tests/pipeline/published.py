"""Models of a few bytes, published as `push` does, and a thread that reads a model directory continuously."""

import threading
from pathlib import Path
from typing import Any

from pipeline.serving import ModelDirectory, Version
from schemas import files
from schemas.errors import StoreError


def model(folder: Path, name: str) -> Path:
    path = folder / name
    (path / "variables").mkdir(parents=True, exist_ok=True)
    (path / "saved_model.pb").write_text(f"graph of {name}", encoding="utf-8")
    (path / "variables" / "variables.index").write_text(f"weights of {name}", encoding="utf-8")
    return path


def publish(
    model_directory: ModelDirectory,
    saved: Path,
    *,
    accuracy: float = 0.9,
    test: str = "t",
    extra: dict[str, Path] | None = None,
    **options: Any,
) -> Version:
    latest = model_directory.latest()
    provenance = {"model": saved.name, "run": 7, "accuracy": accuracy, "test": test, **options}
    expected = files.digest(files.listing(saved))
    version, _ = model_directory.publish(
        saved, extra or {}, provenance, expected=expected, compared=latest.digest if latest else None
    )
    return version


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(directory)): p.read_bytes()
        for p in sorted(directory.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


class Reader:
    """Reads every file of every version in a model directory without a pause, as TensorFlow Serving might."""

    def __init__(self, model_directory: ModelDirectory) -> None:
        self.model_directory, self.reads, self.versions_seen, self.errors = model_directory, 0, set[int](), list[str]()
        self.gaps = 0  # reads without any version although one had been served
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            last = self._stopped.is_set()
            numbers = (
                [p.name for p in self.model_directory.path.iterdir() if p.name.isdigit()]
                if self.model_directory.path.exists()
                else []
            )
            self.gaps += bool(self.versions_seen and not numbers)
            for path in (self.model_directory.path / name for name in numbers):
                self._read(path)
            self.reads += 1
            if last:
                return

    def _read(self, path: Path) -> None:
        try:
            errors = Version.read(path).differences()
        except (StoreError, OSError) as error:
            errors = [str(error)]
        if not errors:
            self.versions_seen.add(int(path.name))
        elif path.exists():  # unless the version was removed in the meantime
            self.errors += errors
