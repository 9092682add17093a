"""The data contract: a curated `tensorflow_metadata` Schema, and what the pipeline reads from it.

contract = Contract.load("mnist.pbtxt")
contract.encoding, contract.largest, contract.classes   # "raw", (28, 28, 1), 10
contract.labels, contract.unused                         # range(10) without 7, (7,)
slice_title("label=6, ink=below 0.1", contract.names)    # "label=6 (Shirt), ink=below 0.1"
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal

from etils import epy

from schemas.errors import ConfigurationError
from schemas.text import listed, nfc

with epy.lazy_imports():
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

SHIPPED = Path(__file__).parent
DRAFT = "# DRAFT"
UNUSED = "unused="  # a tag of the feature label, with the name of a class or, without names, its number
Encoding = Literal["raw", "encoded"]
SHOWN = 5  # labels in a sentence
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def shipped(name: str) -> bool:
    """Whether a contract of this name comes with the package."""
    return Path(name).name == name and (SHIPPED / name).is_file()


@dataclass(frozen=True)
class Contract:
    """Encoding and sizes of images, number of classes and limits of drift, all read from one Schema."""

    name: str
    text: str  # the file as it was read; part of the cache keys

    @classmethod
    def load(cls, name: str) -> "Contract":
        """The contract at the path `name`, or the shipped one of that name.

        Raises:
            ConfigurationError: no such file, not a Schema, or without encoding, sizes of images or number of classes.
        """
        path = next((p for p in (Path(name).expanduser(), SHIPPED / name) if p.is_file()), None)
        if path is None:
            known = ", ".join(sorted(p.name for p in SHIPPED.glob("*.pbtxt")))
            cause = f"schema {name} is neither a file nor a shipped schema ({known})"
            remedy = "Paths in a configuration file are relative to its folder. Draft a schema with:"
            raise ConfigurationError(cause, f"{remedy} python -m pipeline schema infer --profile PROFILE")
        try:
            contract = cls(path.name, path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise ConfigurationError(f"schema {name} is not a text file", "See schemas/mnist.pbtxt.") from None
        if contract.text.startswith(DRAFT):
            raise ConfigurationError(
                f"schema {name} is still a draft",
                "Read it, correct the limits inferred from the sample, and remove its first line.",
            )
        # Each raises if the schema is wrong.
        contract.largest, contract.classes, contract.names, contract.unused  # noqa: B018
        return contract

    @cached_property
    def proto(self) -> "schema_pb2.Schema":
        try:
            return text_format.Parse(self.text, schema_pb2.Schema())
        except text_format.ParseError as error:
            raise ConfigurationError(
                f"schema {self.name} is not a tensorflow_metadata Schema: {error}", "See schemas/mnist.pbtxt."
            ) from None

    def feature(self, name: str) -> "schema_pb2.Feature":
        for feature in self.proto.feature:
            if feature.name == name:
                return feature
        raise ConfigurationError(f"schema {self.name} has no feature {name}", "See schemas/mnist.pbtxt.")

    @cached_property
    def encoding(self) -> Encoding:
        """How records hold images: "raw" pixels of one size, or "encoded" as they were delivered."""
        tags = self.feature("image").annotation.tag
        stated = {tag.removeprefix("encoding=") for tag in tags if tag.startswith("encoding=")}
        if stated == {"raw"}:
            return "raw"
        if stated == {"encoded"}:
            return "encoded"
        cause = f"schema {self.name}: image must carry the annotation tag 'encoding=raw' or 'encoding=encoded'"
        raise ConfigurationError(cause, "See schemas/mnist.pbtxt.")

    @property
    def smallest(self) -> tuple[int, int, int]:
        """The smallest height, width and number of channels of an image."""
        height, width, channels = (low for low, _ in self._sides)
        return height, width, channels

    @property
    def largest(self) -> tuple[int, int, int]:
        """The largest height, width and number of channels of an image. The only ones if the encoding is raw."""
        height, width, channels = (high for _, high in self._sides)
        return height, width, channels

    @cached_property
    def _sides(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._range(f"image/{side}") for side in ("height", "width", "channels"))

    def _range(self, name: str) -> tuple[int, int]:
        domain = self.feature(name).int_domain
        if self.encoding == "raw" and not 0 < domain.min == domain.max:
            raise ConfigurationError(
                f"schema {self.name}: {name} must have one size, int_domain {{ min: N max: N }}, "
                f"not {domain.min} to {domain.max}",
                "Images of several sizes need the annotation tag 'encoding=encoded', and transform.size.",
            )
        if not 0 < domain.min <= domain.max:
            raise ConfigurationError(
                f"schema {self.name}: {name} must have a range, int_domain {{ min: N max: M }}, N at least 1, "
                f"not {domain.min} to {domain.max}"
            )
        return int(domain.min), int(domain.max)

    @cached_property
    def classes(self) -> int:
        """The number of labels, which are 0 to classes - 1."""
        domain = self.feature("label").int_domain
        if domain.min != 0 or domain.max < 1:
            raise ConfigurationError(
                f"schema {self.name}: label must have int_domain {{ min: 0 max: N }}, N at least 1, "
                f"not {domain.min} to {domain.max}"
            )
        return int(domain.max) + 1

    @cached_property
    def unused(self) -> tuple[int, ...]:
        """The classes that never occur, ascending. The network has an output for each, but gates do not judge them.

        A tag `unused=NAME` of the feature `label` declares one. Where the labels have no names, it is `unused=NUMBER`.
        """
        tags = (tag for tag in self.feature("label").annotation.tag if tag.startswith(UNUSED))
        known = {nfc(name): label for label, name in enumerate(self.names or map(str, range(self.classes)))}
        labels: set[int] = set()
        for tag in tags:
            where, name = f"schema {self.name}: label has the tag {json.dumps(tag)}", nfc(tag.removeprefix(UNUSED))
            if name not in known:
                raise ConfigurationError(f"{where}, which names no label", f"{_hint(name, self)} Or remove the tag.")
            if known[name] in labels:
                raise ConfigurationError(f"{where} twice", "Declare each unused class once.")
            labels.add(known[name])
        if len(labels) > self.classes - 2:
            cause = f"schema {self.name}: {len(labels):,} of {self.classes:,} classes are declared unused"
            raise ConfigurationError(f"{cause}; a classifier needs at least two others", "Remove tags from label.")
        return tuple(sorted(labels))

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels that occur: all but the unused ones."""
        return tuple(sorted(set(range(self.classes)) - set(self.unused)))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the labels, in their order: the string_domain `label`. Empty if the schema has none.

        Names are used in sentences, so they are a single line of text.
        """
        names = tuple(value for domain in self.proto.string_domain if domain.name == "label" for value in domain.value)
        if names and (len(set(map(nfc, names))) != self.classes or len(names) != self.classes):
            expected = f"string_domain label must name each of the {self.classes} labels, in their order"
            raise ConfigurationError(
                f"schema {self.name}: {expected}, not {', '.join(names)}", "Name each label once, or none."
            )
        for name in names:
            if not name.strip() or _UNFIT.search(name):
                raise ConfigurationError(
                    f"schema {self.name}: {json.dumps(name)} is not a valid name of a label",
                    "A name is one line of text.",
                )
        return names


def _hint(name: str, contract: Contract) -> str:
    """The closest name of a label, or which names there are."""
    if not contract.names:
        return f"Labels are 0 to {contract.classes - 1}."
    if close := get_close_matches(name, contract.names, 1):
        return f"Did you mean {close[0]}?"
    return f"Labels have names: {listed(contract.names, SHOWN)}."


def unused_tag(label: int, names: Sequence[str]) -> str:
    """The tag that declares a class unused: "unused=Shirt", or "unused=6" where labels have no names."""
    return f"{UNUSED}{names[label] if names else label}"


def label_title(label: int, names: Sequence[str]) -> str:
    """A label and its name: "6 (Shirt)". Only the number where it has no name."""
    return f"{label} ({names[label]})" if 0 <= label < len(names) else str(label)


def label_titles(labels: Sequence[int], names: Sequence[str]) -> str:
    """The titles of the first few labels: "0 (Top), 1 (Trouser), 2 (Pullover), 3 (Dress), 4 (Coat) and 2 more"."""
    return listed([label_title(label, names) for label in labels], SHOWN)


def slice_title(slice_: str, names: Sequence[str]) -> str:
    """A slice with the names of its labels: "label=6, ink=low" becomes "label=6 (Shirt), ink=low"."""
    parts = (part.partition("=") for part in slice_.split(", "))
    return ", ".join(
        f"{feature}={label_title(int(value), names) if feature == 'label' and value.isdecimal() else value}"
        if equals
        else feature
        for feature, equals, value in parts
    )
