"""Digits of the shipped sample as a user's images, and commands in the user's directory."""

import gzip
import subprocess
from pathlib import Path

import numpy as np

from tests.end_to_end.real_line import REPOSITORY
from tests.pipeline import command_line

NAMES = ["zero", "one", "two", "three"]


def digits(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [count, 28, 28], labels [count]) of the first digits of a split that have a name."""
    images = _decompressed(f"{split}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = _decompressed(f"{split}-labels-idx1-ubyte.gz", 8)
    selected = np.flatnonzero(labels < len(NAMES))[:count]
    return images[selected], labels[selected]


def gateline(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command in this directory and asserts its exit code."""
    done = command_line.gateline(*arguments, cwd=folder, PYTHONPATH=str(REPOSITORY))
    assert done.returncode == code, done.stderr
    return done


def _decompressed(name: str, header_bytes: int) -> np.ndarray:
    content = gzip.decompress((REPOSITORY / "components" / "mnist_sample" / name).read_bytes())
    return np.frombuffer(content[header_bytes:], np.uint8)
