"""A digest of what a SavedModel computes, independent of the bytes it was saved as.

of(model.path / "saved_model")   # "9b1f..."

Two runs with the same key save the same function in different bytes: the maps of a protocol buffer have no order, and
TensorFlow numbers functions, layers and variables by what the process has built before. So the digest follows the graph
from outputs to inputs, as a Merkle tree: an operation is its kind, its attributes and the digests of its inputs; a
variable is its value. Generated names do not count.
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

# Attributes that change no output, as those whose names begin with an underscore.
_NAMES = {"shared_name", "container", "debug_name", "config_proto"}


def of(saved_model: Path) -> str:
    """SHA-256 over what the signatures compute, with weights and assets. Equal if the models are the same function."""
    (graph,) = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes()).meta_graphs
    functions = _Functions({f.signature.name: f for f in graph.graph_def.library.function})
    values = _variables(saved_model / "variables" / "variables")
    handles = {n.name: n.attr["shared_name"].s.decode() for n in graph.graph_def.node if n.op == "VarHandleOp"}
    variables = {node: values[name] for node, name in handles.items() if name in values}
    parts = []
    for name, signature in sorted(graph.signature_def.items()):
        given = {_source(tensor.name): f"input {argument}" for argument, tensor in signature.inputs.items()}
        nodes = functions.nodes(
            graph.graph_def.node, [tensor.name for tensor in signature.outputs.values()], variables | given
        )
        outputs = sorted(signature.outputs.items())
        parts += [name, *(f"{output} {_read(tensor.name, nodes)}" for output, tensor in outputs)]
    assets = sorted((saved_model / "assets").rglob("*"))
    return _digest(*parts, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in assets if path.is_file()))


@dataclass(frozen=True)
class _Functions:
    """The functions of a graph, and the digests computed so far."""

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
        """Digests by name of the nodes that the `wanted` tensors depend on. Does not go beyond the nodes in `known`.

        Raises:
            DataError: one of the variables has no value in the checkpoint.
        """
        by_name = {node.name: node for node in nodes}
        inputs: dict[str, list[str]] = {}
        waiting = [_source(tensor) for tensor in wanted]
        while waiting:
            if (name := waiting.pop()) not in known and name not in inputs:
                inputs[name] = [_source(tensor) for tensor in by_name[name].input]
                waiting += inputs[name]
        digests = dict(known)
        for name in graphlib.TopologicalSorter(inputs).static_order():
            if name in digests:
                continue
            node = by_name[name]
            if node.op == "VarHandleOp":
                cause = f"the SavedModel holds no value for the variable {name}"
                raise DataError(cause, "Run again to train it again.")
            reads = (_read(tensor, digests) for tensor in node.input)
            digests[name] = _digest(node.op, *reads, *self._attributes(node.attr))
        return digests

    def _attributes(self, attributes: Any) -> list[str]:
        kept = sorted(name for name in attributes if name not in _NAMES and not name.startswith("_"))
        return [f"{name} {self._attribute(attributes[name])}" for name in kept]

    def _attribute(self, value: Any) -> str:
        if functions := [value.func] if value.HasField("func") else value.list.func:
            return _digest(*(self.digest(function.name) for function in functions))
        return value.SerializeToString(deterministic=True).hex()


def _source(tensor: str) -> str:
    """The node or function argument that produces a tensor: "a" for a, ^a, a:1 and a:output:1."""
    return tensor.removeprefix("^").split(":")[0]


def _read(tensor: str, nodes: dict[str, str]) -> str:
    return f"{nodes[_source(tensor)]}:{tensor.removeprefix('^').partition(':')[2]}"


def _variables(checkpoint: Path) -> dict[str, str]:
    """The digest of each variable's value, by its name in the graph."""
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
