"""What may change between the model now served and the next, and what may not."""

import pytest

from components._serving_check.signatures import broken

SERVED = {
    "images": {
        "inputs": {"images": ("uint8", [-1, 28, 28])},
        "outputs": {"probabilities": ("float32", [-1, 10]), "class": ("int64", [-1])},
    },
}


def changed(where, **tensors):
    """SERVED with tensors put in, or taken out where they are None."""
    found = SERVED["images"][where] | tensors
    return {"images": SERVED["images"] | {where: {name: each for name, each in found.items() if each}}}


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
def test_what_breaks_no_caller_passes(candidate):
    assert list(broken(SERVED, candidate)) == []


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ({}, "signature images is gone"),
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
def test_what_breaks_a_caller_is_said(candidate, words):
    assert list(broken(SERVED, candidate)) == [words]
