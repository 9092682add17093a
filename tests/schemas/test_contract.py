"""The data contract: what is read from it, and what is refused."""

import json
from pathlib import Path

import pytest

from schemas.contract import SHIPPED, Contract, label_title, slice_title
from schemas.errors import ConfigurationError

MNIST = (SHIPPED / "mnist.pbtxt").read_text(encoding="utf-8")


def edited(tmp_path: Path, old: str, new: str) -> Path:
    assert MNIST.count(old) == 1
    path = tmp_path / "mine.pbtxt"
    path.write_text(MNIST.replace(old, new), encoding="utf-8")
    return path


def refused(name: object) -> str:
    with pytest.raises(ConfigurationError) as error:
        Contract.load(str(name))
    assert error.value.exit_code == 2
    return str(error.value)


def test_image_size_and_number_of_classes_are_read_from_the_shipped_contract() -> None:
    contract = Contract.load("mnist.pbtxt")
    assert (contract.name, contract.largest, contract.classes, contract.encoding) == (
        "mnist.pbtxt",
        (28, 28, 1),
        10,
        "raw",
    )


def test_a_contract_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "colour.pbtxt"
    sides = {"height": 32, "width": 48, "channels": 3}
    features = "".join(
        f'feature {{ name: "image/{side}" type: INT int_domain {{ min: {n} max: {n} }} }}\n'
        for side, n in sides.items()
    )
    path.write_text(
        features
        + 'feature { name: "image" type: BYTES annotation { tag: "encoding=raw" } }\n'
        + 'feature { name: "label" type: INT int_domain { min: 0 max: 1 } }\n',
        encoding="utf-8",
    )
    contract = Contract.load(str(path))
    assert (contract.largest, contract.classes) == ((32, 48, 3), 2)
    assert contract.text == path.read_text(encoding="utf-8")


def test_a_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.pbtxt").write_text(MNIST, encoding="utf-8")
    assert Contract.load("~/mine.pbtxt").classes == 10


def test_a_missing_contract_file_is_refused() -> None:
    shipped = ", ".join(sorted(p.name for p in SHIPPED.glob("*.pbtxt")))
    assert "mnist.pbtxt" in shipped
    assert refused("minst.pbtxt") == (
        f"configuration: schema minst.pbtxt is neither a file nor a shipped schema ({shipped})\n"
        "  Paths in a configuration file are relative to its folder. Draft a schema with: "
        "python -m pipeline schema infer --profile PROFILE"
    )


def test_a_file_that_is_not_a_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "poem.pbtxt").write_text("feature {\n  nmae: 'image'\n}\n", encoding="utf-8")
    message = refused(tmp_path / "poem.pbtxt")
    assert message.startswith("configuration: schema poem.pbtxt is not a tensorflow_metadata Schema: 2:3 : ")
    assert "nmae" in message
    assert message.endswith("\n  See schemas/mnist.pbtxt.")


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.pbtxt").write_bytes(b"\x89PNG\r\n\x1a\n\xff\x00")
    assert "image.pbtxt" in refused(tmp_path / "image.pbtxt")


def test_a_draft_is_refused(tmp_path: Path) -> None:
    (tmp_path / "draft.pbtxt").write_text(f"# DRAFT: inferred. Read it.\n\n{MNIST}", encoding="utf-8")
    assert refused(tmp_path / "draft.pbtxt") == (
        f"configuration: schema {tmp_path}/draft.pbtxt is still a draft\n"
        "  Read it, correct the limits inferred from the sample, and remove its first line."
    )


@pytest.mark.parametrize(
    ("domain", "message"),
    [("int_domain { min: 28 max: 32 }", "28 to 32"), ("int_domain { min: 0 max: 0 }", "0 to 0"), ("", "0 to 0")],
)
def test_raw_images_of_several_sizes_are_refused(tmp_path: Path, domain: str, message: str) -> None:
    line = 'feature { name: "image/height" type: INT presence { min_fraction: 1.0 } shape {} '
    path = edited(tmp_path, line + "int_domain { min: 28 max: 28 }", line + domain)
    assert refused(path) == (
        f"configuration: schema mine.pbtxt: image/height must have one size, int_domain {{ min: N max: N }}, "
        f"not {message}\n"
        "  Images of several sizes need the annotation tag 'encoding=encoded', and transform.size."
    )


@pytest.mark.parametrize(("low", "high"), [(1, 10), (0, 0), (-1, 9)])
def test_labels_that_do_not_start_at_zero_are_refused(tmp_path: Path, low: int, high: int) -> None:
    path = edited(
        tmp_path, "int_domain { min: 0 max: 9 is_categorical: true }", f"int_domain {{ min: {low} max: {high} }}"
    )
    assert refused(path) == (
        f"configuration: schema mine.pbtxt: label must have int_domain {{ min: 0 max: N }}, N at least 1, "
        f"not {low} to {high}"
    )


@pytest.mark.parametrize("tag", ['tag: "encoding=png" ', ""])
def test_an_unknown_image_encoding_is_refused(tmp_path: Path, tag: str) -> None:
    path = edited(tmp_path, 'tag: "encoding=raw" ', tag)
    assert refused(path) == (
        "configuration: schema mine.pbtxt: image must carry the annotation tag 'encoding=raw' or "
        "'encoding=encoded'\n  See schemas/mnist.pbtxt."
    )


@pytest.mark.parametrize("feature", ["image", "image/width", "label"])
def test_a_contract_without_a_required_feature_is_refused(tmp_path: Path, feature: str) -> None:
    path = edited(tmp_path, f'name: "{feature}"', 'name: "other"')
    assert refused(path) == f"configuration: schema mine.pbtxt has no feature {feature}\n  See schemas/mnist.pbtxt."


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.pbtxt")), ids=lambda path: path.stem)
def test_every_shipped_contract_is_valid(path: Path) -> None:
    contract = Contract.load(path.name)
    assert all(side > 0 for side in contract.smallest)
    assert contract.classes >= 2


def contract_with_names(tmp_path: Path, *names: str) -> Path:
    path = tmp_path / "mine.pbtxt"
    path.write_text(
        f'{MNIST}string_domain {{ name: "label" {" ".join(f"value: {json.dumps(name)}" for name in names)} }}\n',
        encoding="utf-8",
    )
    return path


def test_label_names_are_read_from_the_contract(tmp_path: Path) -> None:
    assert Contract.load("mnist.pbtxt").names == ()
    assert Contract.load(str(contract_with_names(tmp_path, *"abcdefghij"))).names == tuple("abcdefghij")


@pytest.mark.parametrize("names", ["abc", "abcdefghijk", "abcdefghia"])
def test_label_names_must_be_unique_and_complete(tmp_path: Path, names: list[str]) -> None:
    assert refused(contract_with_names(tmp_path, *names)) == (
        "configuration: schema mine.pbtxt: string_domain label must name each of the 10 labels, in their order, "
        f"not {', '.join(names)}\n"
        "  Name each label once, or none."
    )


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "\x1b[31mred", "par\u2029agraph"])
def test_a_label_name_must_be_one_line_of_text(tmp_path: Path, name: str) -> None:
    message = refused(contract_with_names(tmp_path, *"abcdefghi", name))
    assert (
        message == f"configuration: schema mine.pbtxt: {json.dumps(name)} is not a valid name of a label\n"
        "  A name is one line of text."
    )


def test_slice_titles_contain_label_names() -> None:
    names = ["cat", "label=0"]
    assert slice_title("label=0, ink=below 0.1", names) == "label=0 (cat), ink=below 0.1"
    assert slice_title("label=1", names) == "label=1 (label=0)"
    assert slice_title("label=2", names) == "label=2"
    assert slice_title("label=0", ()) == "label=0"


@pytest.mark.parametrize(("label", "title"), [(0, "0 (cat)"), (1, "1 (dog)"), (2, "2"), (-1, "-1")])
def test_label_titles_contain_the_name_of_a_known_label(label: int, title: str) -> None:
    assert label_title(label, ("cat", "dog")) == title


def with_unused_tags(path: Path, *tags: str) -> Path:
    """The contract, with these tags of the label."""
    text = path.read_text(encoding="utf-8")
    stated = " ".join(f"tag: {json.dumps(tag, ensure_ascii=False)}" for tag in tags)
    text = text.replace('name: "label"\n  type: INT', f'name: "label" annotation {{ {stated} }}\n  type: INT')
    path.write_text(text, encoding="utf-8")
    return path


def test_unused_classes_are_declared_by_number_or_by_name(tmp_path: Path) -> None:
    assert Contract.load("mnist.pbtxt").unused == ()
    numbered = Contract.load(str(with_unused_tags(edited(tmp_path, "# Curated", "# curated"), "unused=7", "unused=0")))
    assert (numbered.classes, numbered.unused, numbered.labels) == (10, (0, 7), (1, 2, 3, 4, 5, 6, 8, 9))
    named = Contract.load(str(with_unused_tags(contract_with_names(tmp_path, *"9876543210"), "unused=7", "deprecated")))
    assert (named.unused, named.names[2]) == ((2,), "7")
    composed = Contract.load(
        str(with_unused_tags(contract_with_names(tmp_path, *"abcdefghi", "caf\u00e9"), "unused=cafe\u0301"))
    )
    assert composed.unused == (9,)


@pytest.mark.parametrize(
    ("tags", "cause", "remedy"),
    [
        (["unused=10"], 'label has the tag "unused=10", which names no label', "Labels are 0 to 9. Or remove the tag."),
        (["unused=-1"], 'label has the tag "unused=-1", which names no label', "Labels are 0 to 9. Or remove the tag."),
        (["unused="], 'label has the tag "unused=", which names no label', "Labels are 0 to 9. Or remove the tag."),
        (["unused=3", "unused=3"], 'label has the tag "unused=3" twice', "Declare each unused class once."),
        (
            [f"unused={label}" for label in range(10)],
            "10 of 10 classes are declared unused; a classifier needs at least two others",
            "Remove tags from label.",
        ),
        (
            [f"unused={label}" for label in range(1, 10)],
            "9 of 10 classes are declared unused; a classifier needs at least two others",
            "Remove tags from label.",
        ),
    ],
)
def test_unused_classes_that_no_model_could_have_are_refused(
    tags: list[str], cause: str, remedy: str, tmp_path: Path
) -> None:
    path = with_unused_tags(edited(tmp_path, "# Curated", "# curated"), *tags)
    assert refused(path) == f"configuration: schema mine.pbtxt: {cause}\n  {remedy}"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trainer", "Did you mean trainers?"), ("3", "Labels have names: a, b, c, d, e and 5 more.")],
)
def test_an_unused_class_of_an_unknown_name_is_refused(name: str, hint: str, tmp_path: Path) -> None:
    assert refused(with_unused_tags(contract_with_names(tmp_path, *"abcdefghi", "trainers"), f"unused={name}")) == (
        f'configuration: schema mine.pbtxt: label has the tag "unused={name}", which names no label\n'
        f"  {hint} Or remove the tag."
    )
