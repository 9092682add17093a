"""A serving directory: one directory per model; and the check that it can be written."""

from pathlib import Path

from schemas import files

WHAT = "cannot write to the serving directory"


def default_dir(root: Path) -> Path:
    """Where models of the store `root` are pushed unless another serving directory is named."""
    return root / "serving"


def models(root: Path) -> list[str]:
    """The names of the models that are served."""
    found = [path for path in root.glob("*/") if not path.name.startswith(".")]
    return sorted(path.name for path in found if any(p.name.isdigit() for p in path.iterdir()))


def writable(root: Path) -> None:
    """Refuse early, before hours of training, a serving directory that could not be written.

    Raises:
        StoreError: it cannot be made or written.
    """
    with files.explained(root, WHAT):
        root.mkdir(parents=True, exist_ok=True)
        probe = root / ".gateline-probe"
        probe.touch()
        probe.unlink()
