"""The comparison of the candidate with a served model: a row of `comparisons.json`.

comparison.test.verdict      # "equivalent"
comparison.test.interval     # (-0.0019, 0.0023)
comparison.message           # a sentence
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Verdict = Literal["better", "equivalent", "worse", "undecided"]


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same test images. Differences are of accuracy, candidate minus other, in [-1, 1]."""

    verdict: Verdict
    difference: float
    interval: tuple[float, float]  # of the difference, at level 1 - 2 alpha
    p: float  # two-sided, of no difference
    both: int  # both models are correct
    only_candidate: int
    only_other: int
    neither: int
    more_examples: int | None  # estimated to reach a verdict, if undecided
    margin: float
    alpha: float

    @classmethod
    def of(cls, row: dict[str, Any]) -> "PairedTest":
        """The test in a row of `comparisons.json`."""
        low, high = row["interval"]
        return cls(**{field.name: row[field.name] for field in fields(cls)} | {"interval": (low, high)})

    def as_row(self) -> dict[str, Any]:
        return asdict(self) | {"interval": list(self.interval)}

    def message(self, other: str) -> str:
        """One sentence without a full stop. `other` names the other model, such as "version 3"."""
        images = "this 1 image" if self.count == 1 else f"these {self.count:,} images"
        size = (
            f"{100 * abs(self.difference):.2f} points {'better' if self.difference > 0 else 'worse'}"
            if self.difference
            else "level"
        )
        statement = {
            "better": f"{size} than {other}",
            "worse": f"{size} than {other}",
            "equivalent": f"equivalent to {other} within {100 * self.margin:g} points",
            "undecided": f"not distinguishable from {other} on {images}",
        }[self.verdict]
        low, high = (f"{100 * bound:+.2f}" for bound in self.interval)
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.2g}"
        only = "image" if self.only_candidate == 1 else "images"
        seen = [
            *([size] if size not in statement else []),
            f"{100 * (1 - 2 * self.alpha):g} % interval {low} to {high}, {p}",
            f"{self.only_candidate:,} {only} correct only for the candidate, {self.only_other:,} only for the other",
        ]
        more = (
            f"; about {self.more_examples:,} more such test images are needed to decide" if self.more_examples else ""
        )
        return f"{statement} ({'; '.join(seen)}){more}"

    @property
    def count(self) -> int:
        return self.both + self.only_candidate + self.only_other + self.neither

    @property
    def phrase(self) -> str:
        """The verdict before the name of the other model: "worse than"."""
        return {"equivalent": "equivalent to", "undecided": "undecided against"}.get(
            self.verdict, f"{self.verdict} than"
        )


@dataclass(frozen=True)
class Comparison:
    """The candidate compared with a model that is or was served."""

    model: str  # "baseline", the served version, or "best", the most accurate version ever served
    version: int
    message: str  # one sentence without a full stop
    difference: float  # of accuracy, candidate minus other
    test: PairedTest | None = None  # None: the version is no longer kept, so its recorded accuracy is compared
    same_test: bool = True  # False: when it was pushed, the version was measured on another test split

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Comparison":
        """A row of `comparisons.json`, of any version since 0.1."""
        test = PairedTest.of(row) if row["by"] == "paired" else None
        same_test = bool(row.get("same_test", True))
        return cls(row["with"], row["version"], row["words"], row["difference"], test, same_test)

    def as_row(self) -> dict[str, Any]:
        """As JSON values, with the keys of version 0.1."""
        test = self.test.as_row() if self.test else dict.fromkeys(field.name for field in fields(PairedTest))
        return {
            "with": self.model,
            "version": self.version,
            "by": "paired" if self.test else "recorded",
            "words": self.message,
            **test,
            "difference": self.difference,
            "same_test": self.same_test,
        }
