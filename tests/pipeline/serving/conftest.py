"""An empty model directory."""

from pathlib import Path

import pytest

from pipeline.serving import ModelDirectory


@pytest.fixture
def model_directory(tmp_path: Path) -> ModelDirectory:
    return ModelDirectory(tmp_path / "serving", "mnist")
