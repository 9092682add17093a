"""Compatible and incompatible changes of signatures between the served model and the next."""

import pytest

from components._serving_check.signatures import broken

SERVED = {
    "images": {
        "inputs": {"images": ("uint8", [-1, 28, 28])},
        "outputs": {"probabilities": ("float32", [-1, 10]), "class": ("int64", [-1])},
    },
}


def changed(part, **tensors):
    """SERVED with tensors added, or removed if None."""
    tensors_ = SERVED["images"][part] | tensors
    return {"images": SERVED["images"] | {part: {name: tensor for name, tensor in tensors_.items() if tensor}}}


@pytest.mark.parametrize(
    "candidate",
    [
        SERVED,
        SERVED | {"more": SERVED["images"]},
        changed("inputs", images=("uint8", [-1, -1, -1])),
        changed("inputs", images=("uint8", None)),
        changed("outputs", probabilities=("float32", [32, 10])),
        changed("outputs", logits=("float32", [-1, 10])),
    ],
    ids=["the same", "another signature", "any image size", "any shape", "answers narrower", "answers more"],
)
def test_compatible_changes_are_accepted(candidate):
    assert list(broken(SERVED, candidate)) == []


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ({}, "signature images was removed"),
        (changed("inputs", images=None), "signature images no longer takes images"),
        (
            changed("inputs", mask=("uint8", [-1])),
            "signature images requires mask, which the served model does not take",
        ),
        (
            changed("inputs", images=("float32", [-1, 28, 28])),
            "signature images takes images as float32 [any, 28, 28]; the served model as uint8 [any, 28, 28]",
        ),
        (
            changed("inputs", images=("uint8", [1, 28, 28])),
            "signature images takes images as uint8 [1, 28, 28]; the served model as uint8 [any, 28, 28]",
        ),
        (
            changed("inputs", images=("uint8", [-1, 28, 28, 1])),
            "signature images takes images as uint8 [any, 28, 28, 1]; the served model as uint8 [any, 28, 28]",
        ),
        (changed("outputs", probabilities=None), "signature images no longer answers probabilities"),
        (
            changed("outputs", probabilities=("float32", [-1, 12])),
            "signature images answers probabilities as float32 [any, 12]; the served model as float32 [any, 10]",
        ),
        (
            changed("outputs", probabilities=("float32", [-1, -1])),
            "signature images answers probabilities as float32 [any, any]; the served model as float32 [any, 10]",
        ),
        (
            changed("outputs", probabilities=("float32", None)),
            "signature images answers probabilities as float32 of any shape; the served model as float32 [any, 10]",
        ),
    ],
)
def test_incompatible_changes_are_described(candidate, message):
    assert list(broken(SERVED, candidate)) == [message]
