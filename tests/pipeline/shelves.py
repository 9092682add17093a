"""Models that are a few bytes, pushed as the line pushes them; and a reader who looks at a shelf all the time."""

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
    shelf: ModelDirectory,
    saved: Path,
    *,
    accuracy: float = 0.9,
    test: str = "t",
    extra: dict[str, Path] | None = None,
    **options: Any,
) -> Version:
    latest = shelf.latest()
    provenance = {"model": saved.name, "run": 7, "accuracy": accuracy, "test": test, **options}
    expected = files.digest(files.listing(saved))
    version, _ = shelf.publish(
        saved, extra or {}, provenance, expected=expected, compared=latest.digest if latest else None
    )
    return version


def seen(directory: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(directory)): p.read_bytes()
        for p in sorted(directory.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


class Reader:
    """Reads a model directory without a pause, as TensorFlow Serving might, and every byte of each version in it."""

    def __init__(self, shelf: ModelDirectory) -> None:
        self.shelf, self.looks, self.found, self.wrong = shelf, 0, set[int](), list[str]()
        self.gaps = 0  # looks that found nothing although something had been served
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            last = self._over.is_set()
            numbers = (
                [p.name for p in self.shelf.path.iterdir() if p.name.isdigit()] if self.shelf.path.exists() else []
            )
            self.gaps += bool(self.found and not numbers)
            for path in (self.shelf.path / name for name in numbers):
                self._look(path)
            self.looks += 1
            if last:
                return

    def _look(self, path: Path) -> None:
        try:
            wrong = Version.read(path).differences()
        except (StoreError, OSError) as error:
            wrong = [str(error)]
        if not wrong:
            self.found.add(int(path.name))
        elif path.exists():  # unless the version was removed in the meantime
            self.wrong += wrong
