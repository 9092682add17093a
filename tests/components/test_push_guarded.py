"""push with signatures and a rollout check: unsigned versions are refused, versions that are not served rolled back."""

import json
import re

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.push import push
from pipeline.serving import ModelDirectory, signing
from schemas.artifacts import WARMUP, Approval, Evaluation, Model, Served, ServingCheck, Statistics
from schemas.errors import Refused
from schemas.files import digest, listing
from schemas.settings.push import Signing, Watch
from tests.components import pictures
from tests.pipeline.keys import write_private_key, write_public_key
from tests.pipeline.serving.test_rollout import serving, status


@pytest.fixture
def model_directory(tmp_path):
    return ModelDirectory(tmp_path / "serving", "own")


@pytest.fixture
def keys(tmp_path):
    pytest.importorskip("model_signing", reason="the extra `signing` is not installed")
    key = write_private_key(tmp_path / "key.pem")
    return Signing(key=key, public_key=write_public_key(tmp_path / "public.pem", "key.pem"), require_signature=True)


@pytest.fixture
def pushed(tmp_path, model_directory, new_run):
    """A function that pushes a model `name`, which was compared with the served version."""

    def push_model(name, **options):
        folder = tmp_path / name
        saved_model = folder / "saved_model"
        if not folder.exists():
            saved_model.mkdir(parents=True)
            (folder / "assets.extra").mkdir()
            (saved_model / "saved_model.pb").write_text(f"the graph of {name}", encoding="utf-8")
            pictures.write_weights(saved_model, name)
            (folder / "gates.json").write_text("[]", encoding="utf-8")
            (folder / "stats.tfrecord").write_text(f"the data of {name}", encoding="utf-8")
            (folder / WARMUP).write_text(f"requests to {name}", encoding="utf-8")
        latest = model_directory.latest()
        return push.function(
            Model(folder, digest=f"model-{name}", epochs=1, validation_accuracy=0.9),
            Evaluation(
                folder, passed=True, accuracy=0.9, loss=0.3, saved_model=digest(listing(saved_model)), test="these"
            ),
            ServingCheck(folder, passed=True),
            Statistics(folder, counts={"train": 1}),
            Served(latest.path, digest=latest.digest, version=latest.number) if latest else None,
            Approval(folder, passed=True, model=name, evaluation="", evaluated="", baseline=None, directory=""),
            keep=5,
            directory=model_directory,
            run=new_run(lineage={"run": 1, "stages": {}}),
            **options,
        )

    return push_model


def test_warmup_requests_are_published_with_the_model(pushed):
    version = pushed("a")
    assert (version.path / WARMUP).read_text(encoding="utf-8") == "requests to a"
    assert WARMUP in json.loads((version.path / "provenance.json").read_text(encoding="utf-8"))["files"]


def test_a_version_is_signed_when_it_is_published(pushed, keys, model_directory):
    version = pushed("a", signatures=keys)
    assert signing.check(version.path, keys) == []
    assert model_directory.versions()[0].differences() == []
    assert pushed("a", signatures=keys).new is False
    assert pushed("b", signatures=keys).version == 2


def test_no_version_is_pushed_after_a_tampered_one(pushed, keys, model_directory):
    """An attacker can alter a file and its digest in the provenance, but has no key."""
    version = pushed("a", signatures=keys)
    (version.path / "saved_model.pb").write_text("the graph of A", encoding="utf-8")
    provenance = json.loads((version.path / "provenance.json").read_text(encoding="utf-8"))
    listed = listing(version.path)
    provenance["files"] = {name: listed[name] for name in provenance["files"]}
    (version.path / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    assert model_directory.versions()[0].differences() == []
    with pytest.raises(Refused) as refused:
        pushed("b", signatures=keys)
    problems = [f"{name} is altered since it was signed" for name in ("provenance.json", "saved_model.pb")]
    assert refused.value.cause == f"{version.path} has no valid signature: {'; '.join(problems)}"
    assert [v.number for v in model_directory.versions()] == [1]


def test_an_unsigned_earlier_version_must_be_signed_first(pushed, keys, model_directory):
    version = pushed("a")
    with pytest.raises(Refused) as refused:
        pushed("b", signatures=keys)
    assert refused.value.cause == f"{version.path} has no valid signature: it has no model.sig"
    assert refused.value.remedy.endswith(f"--private_key {keys.key} --signature {version.path / 'model.sig'}")
    signing.sign(version.path, keys)
    assert pushed("b", signatures=keys).version == 2


def test_the_signing_command_in_the_remedy_works(pushed, keys):
    import subprocess
    import sys

    version = pushed("a")
    with pytest.raises(Refused) as refused:
        pushed("b", signatures=keys)
    command = refused.value.remedy.partition("sign it: python ")[2].split()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=60)
    assert signing.check(version.path, keys) == []
    assert pushed("b", signatures=keys).version == 2


def test_a_signature_that_does_not_match_the_public_key_is_refused(pushed, keys, model_directory, tmp_path):
    other = tmp_path / "other.pem"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(Refused, match="it was signed with another key"):
        pushed("a", signatures=keys.model_copy(update={"public_key": str(other)}))
    assert model_directory.versions() == []
    assert list(model_directory.path.glob(".staging-*")) == []


def test_a_served_version_stays(pushed, model_directory):
    pushed("a")
    with serving(status("AVAILABLE", version="2")) as (url, requests):
        assert pushed("b", watched=Watch(url=url)).version == 2
        assert pushed("b", watched=Watch(url=url)).new is False
    assert requests == ["/v1/models/own/versions/2"]  # the earlier version is not watched


def test_a_version_that_is_not_served_is_rolled_back(pushed, model_directory, keys):
    pushed("a", signatures=keys)
    with serving(status("END", "out of memory", version="2")) as (url, _), pytest.raises(Refused) as refused:
        pushed("b", signatures=keys, watched=Watch(url=url))
    reason = f"version 2 was pushed, but {url} does not serve it: it could not load the version: out of memory"
    assert refused.value.cause == reason
    assert refused.value.remedy == "It was rolled back: version 3 is the model that was served before."
    restored = model_directory.latest()
    assert (restored.number, restored.digest) == (3, "model-a")
    assert restored.rollback["reason"] == "it could not load the version: out of memory"
    assert signing.check(restored.path, keys) == []


@pytest.mark.parametrize("signed", [False, True])
def test_an_altered_version_is_not_restored(pushed, model_directory, keys, signed):
    """With and without signatures."""
    keys = Signing(key=keys.key) if signed else None
    version = pushed("a", signatures=keys)
    (version.path / "more").write_text("more", encoding="utf-8") if not signed else (
        version.path / "model.sig"
    ).unlink()
    with serving(status("END", "out of memory", version="2")) as (url, _), pytest.raises(Refused) as refused:
        pushed("b", signatures=keys, watched=Watch(url=url))
    assert refused.value.cause.endswith("does not serve it: it could not load the version: out of memory")
    reason = (
        "has no valid signature: it has no model.sig" if signed else "was altered since it was pushed: more was added"
    )
    assert re.match(
        rf"It could not be rolled back: {version.path} {reason}\. Name another version with --to",
        refused.value.remedy,
    )
    assert [v.number for v in model_directory.versions()] == [1, 2]


def test_the_first_version_stays_even_if_it_is_not_served(pushed, model_directory):
    with serving(status("END", "out of memory", version="1")) as (url, _), pytest.raises(Refused) as refused:
        pushed("a", watched=Watch(url=url))
    assert refused.value.remedy.startswith("It could not be rolled back: ")
    assert [v.number for v in model_directory.versions()] == [1]


def test_a_version_that_is_not_served_stays_without_rollback(pushed, model_directory):
    pushed("a")
    with serving(status("END", "out of memory", version="2")) as (url, _), pytest.raises(Refused) as refused:
        pushed("b", watched=Watch(url=url, rollback=False))
    command = f"python -m pipeline serving rollback --serving-dir {model_directory.root} --model own"
    assert (
        refused.value.remedy
        == f"It was not rolled back, because push.watch.rollback is false. To roll it back: {command}"
    )
    assert model_directory.latest().number == 2


def test_a_version_is_watched_again_until_it_was_served(pushed, model_directory):
    pushed("a")
    with serving(status("END", "out of memory", version="2")) as (url, _), pytest.raises(Refused):
        pushed("b", watched=Watch(url=url, rollback=False))
    with serving(status("AVAILABLE", version="2")) as (url, requests):
        for _ in range(2):
            assert pushed("b", watched=Watch(url=url)).new is False
    assert requests == ["/v1/models/own/versions/2"]
