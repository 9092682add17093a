"""A test image that the report shows, with its prediction: a row of `gallery.json`."""

from dataclasses import asdict, dataclass, fields
from typing import Any

CONFIDENT = 0.95  # confidence of a likely label error, in artifacts of versions without a flag


@dataclass(frozen=True)
class GalleryEntry:
    """One test image, its label, and what the models predict."""

    image: int  # row of `gallery.npy`
    index: int  # its position in the test split
    label: int
    predicted: int
    top: tuple[tuple[int, float | None], ...]  # (class, probability) of the most probable; None: not a number
    baseline: int | None  # what the served model predicts; None if there was none
    suspect: bool | None = None  # whether the label may be wrong; None: an older version, which did not decide
    file: str = ""  # its name, relative to the source's folder; empty if it has none

    @classmethod
    def of(cls, row: dict[str, Any]) -> "GalleryEntry":
        known = {field.name: row[field.name] for field in fields(cls) if field.name in row}
        return cls(**known | {"top": tuple((label, probability) for label, probability in row["top"])})

    def as_row(self) -> dict[str, Any]:
        row = asdict(self) | {"top": [list(each) for each in self.top]}
        absent = {"suspect": None, "file": ""}  # as in rows of older versions
        return {name: value for name, value in row.items() if value != absent.get(name, ...)}

    @property
    def title(self) -> str:
        """How a person finds the image: its file, or its position."""
        return self.file or f"test image {self.index}"

    @property
    def is_likely_label_error(self) -> bool:
        if self.suspect is None:
            return bool(self.top) and (self.top[0][1] or 0) > CONFIDENT
        return self.suspect
