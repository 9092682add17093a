"""A draft of a contract is one that its data fulfil."""

from pathlib import Path

import pytest

from pipeline import draft
from schemas.contract import DRAFT, Contract
from schemas.errors import ConfigurationError
from schemas.settings import Source
from tests.components import pictures


@pytest.mark.parametrize(("variant", "names"), [("jpeg", tuple(pictures.NAMES)), ("png", ())])
def test_a_draft_says_size_and_classes_and_what_the_data_set_calls_its_labels(
    variant: str, names: tuple[str, ...], data_dir: str, tmp_path: Path
) -> None:
    source = Source(tfds=f"pictures/{variant}", module="tests.components.pictures", data_dir=data_dir)
    path = tmp_path / "pictures.pbtxt"
    draft.write(source, tmp_path / "root", path, verbose=False)
    with pytest.raises(ConfigurationError, match=r"pictures\.pbtxt is still a draft"):
        Contract.load(str(path))
    head, rest = path.read_text().split("\n", 1)
    assert head.startswith(f"{DRAFT}: inferred from the train split of pictures/{variant}.")
    path.write_text(rest)
    contract = Contract.load(str(path))
    assert (contract.shape, contract.classes, contract.names) == (pictures.SHAPE, pictures.CLASSES, names)
    with pytest.raises(ConfigurationError, match=r"pictures\.pbtxt is there already"):
        draft.write(source, tmp_path / "root", path, verbose=False)
