"""Configuration: errors have exact messages; valid files become typed settings."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.config import PROFILES, describe, load, profiles
from schemas.errors import ConfigurationError
from tests.pipeline.cases import cases, expected

EACH = "each > 0; at least 1 item"
MINIMAL = "source: {tfds: mnist}\nschema: mnist.pbtxt\ngates: {accuracy: 0.9, per_class: 0.8, drop: 0.01}\n"


def refused(**options: object) -> str:
    with pytest.raises(ConfigurationError) as error:
        load(**options)
    assert error.value.exit_code == 2
    return str(error.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


@pytest.mark.parametrize("case", cases("configs", "*.yaml"))
def test_a_bad_configuration_is_refused_with_the_expected_message(case: Path) -> None:
    assert refused(file=case) == expected(case).replace("FILE", str(case))


def test_a_minimal_configuration_loads(file: Path) -> None:
    config = load(file=file)
    assert (config.source.tfds, config.contract, config.gates.per_class.root) == ("mnist", "mnist.pbtxt", 0.8)
    assert config.train.model.kind == "mlp"


def test_a_loaded_configuration_is_frozen(file: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(file=file).train.epochs = 3


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    assert refused(file=tmp_path / "empty.yaml").startswith(
        f"configuration: file {tmp_path}/empty.yaml holds none, not a mapping"
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "absent.yaml"
    assert refused(file=path) == f"configuration: there is no file {path}\n  Name another with --config."


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\x00")
    assert str(tmp_path / "image.yaml") in refused(file=tmp_path / "image.yaml")


def test_a_duplicate_key_is_refused(file: Path) -> None:
    file.write_text(MINIMAL + "gates: {accuracy: 0.1, per_class: 0.1, drop: 0.9}\n", encoding="utf-8")
    assert "gates" in refused(file=file)


def test_a_setting_of_another_model_kind_is_not_suggested(file: Path) -> None:
    file.write_text(MINIMAL + "train: {model: {kind: mlp, filters: [32]}}\n", encoding="utf-8")
    message = refused(file=file)
    assert message.startswith("configuration: train.model.filters is not a setting")
    assert "Did you mean train.model.filters" not in message


def test_a_model_without_a_kind_is_refused_without_pydantic_terms(file: Path) -> None:
    file.write_text(MINIMAL + "train: {model: {layers: [32]}}\n", encoding="utf-8")
    message = refused(file=file)
    assert "kind" in message
    assert "discriminator" not in message


@pytest.mark.parametrize(
    "key", ["train.optimizer.learning_rate", "check_serving.latency_ms", "check_serving.tolerance"]
)
def test_infinity_is_refused(key: str) -> None:
    assert refused(profile="mnist", sets=[f"{key}=.inf"]).startswith(f"configuration: {key} is inf; ")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "train",
            "configuration: --set train is not of the form section.key=value\n  For example: --set train.epochs=3",
        ),
        ("=3", "configuration: --set =3 is not of the form section.key=value\n  For example: --set train.epochs=3"),
        (
            "train.epoch=3",
            "configuration: train.epoch is not a setting. Did you mean train.epochs? (profile mnist, --set)",
        ),
        (
            "train.epochs.deep=3",
            "configuration: --set train.epochs.deep=3: epochs is a value, not a section\n"
            "  Run python -m pipeline settings for all settings.",
        ),
        (
            "gates.accuracy=90",
            "configuration: gates.accuracy is 90; input should be less than or equal to 1 (profile mnist, --set)",
        ),
        (
            "train.epochs=",
            "configuration: train.epochs is none; input should be a valid integer (profile mnist, --set)",
        ),
        (
            "train.epochs=[3",
            "configuration: --set train.epochs=[3 is not valid YAML at line 1, column 3: expected ',' or ']', "
            "but got '<stream end>'\n"
            "  Fix it and run again.",
        ),
    ],
)
def test_a_bad_override_is_refused_with_the_expected_message(override: str, message: str) -> None:
    assert refused(profile="mnist", sets=[override]) == message


def test_overrides_set_values_and_the_last_one_wins(file: Path) -> None:
    sets = [
        "train.epochs=3",
        "train.model.kind=cnn",
        "train.model.filters=[8, 16]",
        "train.early_stopping.patience=2",
        "train.epochs=4",
    ]
    train = load(file=file, sets=sets).train
    assert (train.epochs, train.model.filters, train.early_stopping.patience) == (4, [8, 16], 2)


def test_an_override_changes_no_other_setting() -> None:
    before, after = load(profile="mnist"), load(profile="mnist", sets=["train.optimizer.learning_rate=0.01"])
    assert after.train.optimizer.learning_rate == 0.01
    assert after.train.optimizer.schedule == before.train.optimizer.schedule == "cosine"


def test_a_number_with_an_exponent_but_no_decimal_point_is_parsed() -> None:
    assert load(profile="mnist", sets=["train.optimizer.learning_rate=1e-3"]).train.optimizer.learning_rate == 0.001


@pytest.mark.parametrize(
    ("name", "hint"), [("mnst", " Did you mean mnist?"), ("seed-adam", " Did you mean seed_adam?"), ("zzz", "")]
)
def test_an_unknown_profile_is_refused_with_a_suggestion(name: str, hint: str) -> None:
    known = ", ".join(profiles())
    assert refused(profile=name) == f"configuration: there is no profile {name}\n  The profiles are {known}.{hint}"


def test_a_misspelled_profile_is_refused_even_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text((PROFILES / "sample.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    load(profile="mnist", file=tmp_path / "own.yaml")
    assert refused(profile="smaple", file=tmp_path / "own.yaml").startswith(
        "configuration: there is no profile smaple\n"
    )


def test_expected_profiles_are_shipped() -> None:
    assert {"cnn", "mnist", "sample", "seed_adam", "seed_sgd"} <= set(profiles())


@pytest.mark.parametrize("name", profiles())
def test_every_shipped_profile_loads_and_starts_with_its_command(name: str) -> None:
    config = load(profile=name)
    assert 0.5 < config.gates.per_class.root < config.gates.accuracy.root < 1
    assert (PROFILES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[
        0
    ] == f"# python -m pipeline run --profile {name}"


def test_every_setting_is_documented_once() -> None:
    settings = describe()
    assert [each.title for each in settings if len(each.meaning) <= 5 or not each.type or not each.default] == []
    titles = [each.title for each in settings]
    assert sorted(set(titles)) == sorted(titles)


@pytest.mark.parametrize(
    ("title", "type_", "range_", "default"),
    [
        ("check_serving.batches", "list of int", "each 1 to 1,024; 1 to 8 items", "[1, 8, 32]"),
        ("evaluate.corrupted", "int", "≥ 0", "1000"),
        ("evaluate.derived", "dict of list of float", "each > 0; 1 to 9 items", "{}"),
        ("evaluate.slices", "list of (str or list of str)", "each not empty, or 2 to 3 items", "[]"),
        ("gates.accuracy", "float", "> 0, ≤ 1", "required"),
        ("gates.min_examples", "int", "1 to 1,000", "30"),
        ("notify[].email", "section or none", "", "none"),
        ("notify[].email.host", "str", "not empty", "required there"),
        ("push.keep", "int", "≥ 2", "5"),
        ("source", "tfds or folder or table or tfrecord or idx or custom", "", "required"),
        ("source.image (table)", "str", "", "image"),
        ("source.image (tfds)", "str or none", "", "none"),
        ("source.shard_size", "int", "> 0", "10000"),
        ("train.epochs", "int", "1 to 100,000", "10"),
        ("train.model", "mlp or cnn", "", "{kind: mlp, layers: [128, 64], activation: relu, dropout: 0.0}"),
        ("train.model.dropout (cnn)", "float", "≥ 0, < 1", "0.0"),
        ("train.warm_start", "bool", "", "false"),
        ("transform.size", "list of int or none", "each 1 to 4,096; 2 items", "none"),
        ("tune.space.units", "list of int or {min, max, step, log} or none", f"{EACH}, or min > 0", "none"),
    ],
)
def test_a_setting_states_its_type_range_and_default(title: str, type_: str, range_: str, default: str) -> None:
    (setting,) = (each for each in describe() if each.title == title)
    assert (setting.type, setting.range, setting.default) == (type_, range_, default)


def test_mandatory_settings_are_marked_required() -> None:
    required = [each.key for each in describe() if each.default == "required"]
    assert required == ["gates.accuracy", "gates.per_class", "schema", "source"]
