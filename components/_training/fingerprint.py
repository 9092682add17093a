"""What makes a SavedModel the model, or the transform graph, that it is: what its signatures compute, in whatever bytes.

of(model.path / "saved_model")   # "9b1f..."

Two runs of the same key save the same function in different bytes: maps of a protocol buffer have no order, and functions,
layers and variables are numbered by how much this process has made before. So the graph is followed from the answers to the
inputs (a Merkle tree): an operation is its kind, its attributes and the digests of what it reads; a variable is its value. No name
that TensorFlow gave counts.
"""

import graphlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etils import epy

from schemas.errors import DataError

with epy.lazy_imports():
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2, trackable_object_graph_pb2

_NAMES = {
    "shared_name",
    "container",
    "debug_name",
    "config_proto",
}  # attributes that change no answer, and those that begin with _


def of(saved_model: Path) -> str:
    """SHA-256 over what the signatures compute, the weights and assets among it. Equal for models that are the same function."""
    (graph,) = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes()).meta_graphs
    functions = _Functions({f.signature.name: f for f in graph.graph_def.library.function})
    values = _variables(saved_model / "variables" / "variables")
    handles = {n.name: n.attr["shared_name"].s.decode() for n in graph.graph_def.node if n.op == "VarHandleOp"}
    variables = {node: values[name] for node, name in handles.items() if name in values}
    found = []
    for name, signature in sorted(graph.signature_def.items()):
        given = {_source(tensor.name): f"input {argument}" for argument, tensor in signature.inputs.items()}
        nodes = functions.nodes(
            graph.graph_def.node, [tensor.name for tensor in signature.outputs.values()], variables | given
        )
        found += [
            name,
            *(f"{answer} {_read(tensor.name, nodes)}" for answer, tensor in sorted(signature.outputs.items())),
        ]
    assets = sorted((saved_model / "assets").rglob("*"))
    return _digest(*found, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in assets if path.is_file()))


@dataclass(frozen=True)
class _Functions:
    """The functions of a graph, and their digests as far as they were asked for."""

    definitions: dict[str, Any]
    _known: dict[str, str] = field(default_factory=dict)

    def digest(self, name: str) -> str:
        if name not in self._known:
            function = self.definitions[name]
            arguments = {argument.name: f"argument {i}" for i, argument in enumerate(function.signature.input_arg)}
            returned = [function.ret[argument.name] for argument in function.signature.output_arg]
            effects = list(function.control_ret.values())
            nodes = self.nodes(function.node_def, returned + effects, arguments)
            self._known[name] = _digest(
                *(_read(tensor, nodes) for tensor in returned), *sorted(nodes[node] for node in effects)
            )
        return self._known[name]

    def nodes(self, nodes: Iterable[Any], wanted: Iterable[str], known: dict[str, str]) -> dict[str, str]:
        """The digests, by name, of the nodes that `wanted` tensors come from, and of all behind them but those in `known`.

        Raises:
            DataError: a variable among them has no value in the checkpoint.
        """
        by_name, inputs, waiting = (
            {node.name: node for node in nodes},
            dict[str, list[str]](),
            [_source(tensor) for tensor in wanted],
        )
        while waiting:
            if (name := waiting.pop()) not in known and name not in inputs:
                inputs[name] = [_source(tensor) for tensor in by_name[name].input]
                waiting += inputs[name]
        found = dict(known)
        for name in graphlib.TopologicalSorter(inputs).static_order():
            if name not in found:
                node = by_name[name]
                if node.op == "VarHandleOp":
                    raise DataError(
                        f"the variable {name} of the model has no value that was saved",
                        "Train again with --force train.",
                    )
                found[name] = _digest(
                    node.op, *(_read(tensor, found) for tensor in node.input), *self._attributes(node.attr)
                )
        return found

    def _attributes(self, attributes: Any) -> list[str]:
        kept = sorted(name for name in attributes if name not in _NAMES and not name.startswith("_"))
        return [f"{name} {self._attribute(attributes[name])}" for name in kept]

    def _attribute(self, value: Any) -> str:
        called = [value.func] if value.HasField("func") else value.list.func
        return (
            _digest(*(self.digest(f.name) for f in called))
            if called
            else value.SerializeToString(deterministic=True).hex()
        )


def _source(tensor: str) -> str:
    """The node, or the function's argument, that a tensor comes from: a of a, ^a, a:1 and a:output:1."""
    return tensor.removeprefix("^").split(":")[0]


def _read(tensor: str, nodes: dict[str, str]) -> str:
    return f"{nodes[_source(tensor)]}:{tensor.removeprefix('^').partition(':')[2]}"


def _variables(checkpoint: Path) -> dict[str, str]:
    """The digest of each variable's value, by the name that the graph has for it."""
    reader = tf.train.load_checkpoint(str(checkpoint))
    tracked = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    )
    values = [each for node in tracked.nodes for each in node.attributes if each.full_name]
    return {each.full_name: _value(reader.get_tensor(each.checkpoint_key)) for each in values}


def _value(value: Any) -> str:
    return _digest(str(value.dtype), str(value.shape), value.tobytes().hex())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
