"""Expectations at the end of a simulated month, checked on its files."""

import itertools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.lineage import Lineage
from pipeline.serving import ModelDirectory
from pipeline.store import Store
from schemas import files
from schemas.artifacts import Admission, Collected, Mixture
from tests.month.story import World


@dataclass(frozen=True)
class Finding:
    """An expectation, the result, and whether it holds."""

    expectation: str
    result: str
    holds: bool


def findings(world: World) -> list[Finding]:
    """All expectations of a month."""
    store = Store(world.root)
    lineage = Lineage.at(world.root, None)
    runs = sorted(lineage.runs(1000), key=lambda run: run["run"])
    return [*_served(world), *_refused(world, runs), *_spans(world, store), *_order(world, runs)]


def _served(world: World) -> list[Finding]:
    versions = ModelDirectory(world.serving, "mnist_sample").versions()
    intact = [not files.differences(v.path, v.provenance["files"], contents=True) for v in versions]
    accuracies = [_accuracy(world, v.path) for v in versions]
    return [
        Finding("models were served", f"{len(versions)} versions exist", bool(versions)),
        Finding("each is intact", f"{sum(intact)} of {len(intact)}", all(intact)),
        Finding(
            "each is accurate when measured again",
            f"accuracy {min(accuracies):.3f} to {max(accuracies):.3f}",
            min(accuracies) >= 0.87,
        ),
    ]


def _accuracy(world: World, path: Any) -> float:
    """The accuracy of a served model on the sample's test images, through its signature."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    import components.mnist_sample  # noqa: F401  (registers the sample)

    test = list(
        tfds.as_numpy(
            tfds.builder("mnist_sample", data_dir=world.data_dir).as_dataset(split="test", shuffle_files=False)
        )
    )
    model = tf.saved_model.load(str(path))
    images = tf.constant(np.stack([record["image"][:, :, 0] for record in test]))
    predicted = model.signatures["images"](images=images)["class"].numpy()
    return float((predicted == [record["label"] for record in test]).mean())


def _refused(world: World, runs: list[dict[str, Any]]) -> list[Finding]:
    """The index shows every run, and the reason of each refusal."""
    from pipeline.report import index  # as the command `report --index` does

    store = Store(world.root)
    page = index.write(index.gather(store, Lineage.at(world.root, None), world.serving), world.folder / "index")[
        "html"
    ].read_text(encoding="utf-8")
    refused = [run for run in runs if run["state"] == "refused"]
    explained = [
        all(word in page for word in (f"run-{run['run']}", "efused")) and bool(run["message"]) for run in refused
    ]
    expected = world.story.mixed_up >= 0
    return [
        Finding("the model of mixed-up labels was refused", f"{len(refused)} runs refused", bool(refused) == expected),
        Finding("each refusal is explained in the index", f"{sum(explained)} of {len(explained)}", all(explained)),
    ]


def _spans(world: World, store: Store) -> list[Finding]:
    collected = _last(store, "collect", Collected)
    admission = _last(store, "admit", Admission)
    mixture = _last(store, "mix", Mixture)
    delivered = {p.name for p in world.spans.iterdir()}
    trained_on = set(mixture.spans)
    lost = delivered - trained_on - admission.quarantined.keys()
    images = sum(collected.spans[name].count for name in trained_on)
    broken = f"span-{world.story.broken:04d}"
    findings = [
        Finding(
            "every span was trained on, or is quarantined",
            f"{len(trained_on)} trained on, {len(admission.quarantined)} quarantined",
            not lost,
        ),
        Finding(
            "every delivered span is accounted for", f"{images:,} images", len(world.delivered) == world.story.days
        ),
        Finding(
            "the broken span is quarantined, with the reason",
            admission.quarantined.get(broken, "none"),
            list(admission.quarantined) == [broken],
        ),
    ]
    if world.story.drifting >= 0:
        name = f"span-{world.story.drifting:04d}"
        findings.append(
            Finding("the drifting span is named", admission.drifted.get(name, "no"), name in admission.drifted)
        )
    return findings


def _last(store: Store, stage: str, kind: Any) -> Any:
    manifest = list(store.manifests(stage))[-1]
    return store.find(stage, manifest["key"], kind)


def _order(world: World, runs: list[dict[str, Any]]) -> list[Finding]:
    intervals = [(run["started"], run["finished"]) for run in runs]
    overlaps = sum(b[0] < (a[1] or b[0]) for a, b in itertools.pairwise(intervals))
    killed = sum(code < 0 for _, _, code in world.runs)
    states = {state: sum(run["state"] == state for run in runs) for state in sorted({run["state"] for run in runs})}
    assert world.state
    return [
        Finding("no two runs overlapped", f"{len(runs)} runs: {json.dumps(states)}"[:90], overlaps == 0),
        Finding("killed runs were resumed", f"{killed} killed", (killed > 0) == (world.story.crashes >= 0)),
        Finding("no run is still running", world.state.why, world.state.running is None),
    ]
