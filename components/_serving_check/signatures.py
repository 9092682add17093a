"""Whether clients of the served model can call the candidate, by their signatures.

list(broken(served["signatures"], candidate["signatures"]))  # ["signature images takes images as float32; ..."], or []
"""

from collections.abc import Iterator

Shape = list[int] | None  # -1: any size; None: any shape
Tensors = dict[str, tuple[str, Shape]]  # dtype and shape by name
Signatures = dict[str, dict[str, Tensors]]  # {signature: {"inputs", "outputs"}}


def broken(served: Signatures, candidate: Signatures) -> Iterator[str]:
    """A sentence for each incompatibility of the candidate with the served model.

    Additions are compatible, except a new input: no client sends it yet.
    """
    for name, before in served.items():
        now = candidate.get(name)
        if now is None:
            yield f"signature {name} was removed"
            continue
        for tensor in sorted(now["inputs"].keys() - before["inputs"].keys()):
            yield f"signature {name} requires {tensor}, which the served model does not take"
        yield from _differ(name, "takes", before["inputs"], now["inputs"])
        yield from _differ(name, "answers", before["outputs"], now["outputs"])


def _differ(signature: str, does: str, before: Tensors, now: Tensors) -> Iterator[str]:
    for tensor, (dtype, shape) in before.items():
        if tensor not in now:
            yield f"signature {signature} no longer {does} {tensor}"
            continue
        now_dtype, now_shape = now[tensor]
        fits = _within(shape, now_shape) if does == "takes" else _within(now_shape, shape)
        if now_dtype != dtype or not fits:
            candidate, served = f"{now_dtype} {_shape_text(now_shape)}", f"{dtype} {_shape_text(shape)}"
            yield f"signature {signature} {does} {tensor} as {candidate}; the served model as {served}"


def _within(narrow: Shape, wide: Shape) -> bool:
    """Whether `wide` allows everything that `narrow` allows."""
    if wide is None or narrow is None:
        return wide is None
    return len(narrow) == len(wide) and all(w in (-1, n) for n, w in zip(narrow, wide, strict=True))


def _shape_text(shape: Shape) -> str:
    return "of any shape" if shape is None else f"[{', '.join('any' if size == -1 else str(size) for size in shape)}]"
