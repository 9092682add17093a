"""A serving directory: one directory per model. Checks that it is writable."""

from pathlib import Path

from schemas import places

NOT_WRITABLE = "cannot write to the serving directory"


def default_dir(root: Path) -> Path:
    """The default serving directory of a store: ROOT/serving."""
    return root / "serving"


def models(root: Path) -> list[str]:
    """The names of the served models, sorted."""
    folders = [path for path in root.glob("*/") if not path.name.startswith(".")]
    return sorted(path.name for path in folders if any(p.name.isdigit() for p in path.iterdir()))


def writable(root: Path) -> None:
    """Checks that the serving directory is writable. Called first, so that hours of training are not lost.

    Raises:
        StoreError: it cannot be created or written.
    """
    with places.explained(root, NOT_WRITABLE):
        root.mkdir(parents=True, exist_ok=True)
        probe = root / ".gateline-probe"
        probe.touch()
        probe.unlink()
