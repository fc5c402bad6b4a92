"""The graph of a SavedModel: what of it gives answers, and whether that is all ours.

TensorFlow runs whatever a graph holds, and has operations that write and delete files, read any file or end the
process. So only those that ``conviction export`` writes are let through, in every function of the graph, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from conviction.artefacts.bounds import MOST_NODES, ONLY_OURS, check_parts, too_large
from conviction.errors import ArtefactError

# The graph of the largest backbone has 2.7 MB without its weights.
MOST_GRAPH_BYTES = 16_000_000
# Every operation that our exports need for an answer; a test exports every kind of network and compares.
OPERATIONS = frozenset(
    {
        *("AddV2", "AvgPool", "BiasAdd", "Cast", "ConcatV2", "Const", "Conv2D"),
        *("DepthwiseConv2dNative", "Elu", "Erfc", "Identity", "IdentityN", "LeakyRelu", "MatMul"),
        *("MaxPool", "Mean", "Mul", "Neg", "NoOp", "Pack", "Pad", "ReadVariableOp", "RealDiv"),
        *("Relu", "Relu6", "Reshape", "Rsqrt", "Selu", "Shape", "Sigmoid", "Softmax", "Square"),
        *("SquaredDifference", "Squeeze", "StatefulPartitionedCall", "StopGradient"),
        *("StridedSlice", "Sub", "Sum", "Tanh", "Transpose"),
    }
)
# What an export has besides, to be saved again; it is left out of what TensorFlow opens.
SAVING = frozenset(
    {
        *("AssignVariableOp", "DisableCopyOnRead", "MergeV2Checkpoints", "Placeholder"),
        *("RestoreV2", "SaveV2", "Select", "ShardedFilename", "StaticRegexFullMatch"),
        *("StringJoin", "VarHandleOp", "VarIsInitializedOp"),
    }
)
# Kinds of objects, and the names of their classes.
KINDS = frozenset({"user_object", "function", "bare_concrete_function", "variable", "captured_tensor"})
CLASSES = frozenset({"_generic_user_object", "trackable_list_wrapper", "signature_map"})
# How TensorFlow names the gradient of an operation that has one of its own, as silu.
GRADIENT = "CustomGradient-"


def only_what_answers(content: bytes, path: Path) -> bytes:
    """The graph without the functions that save it, once all of it has been looked through.

    Args:
        content: Of ``saved_model.pb``.
        path: Of the folder, for messages.

    Raises:
        ArtefactError: It is damaged, or has parts that none of our networks has.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(content)
    except DecodeError:
        raise ArtefactError(f"{path}: damaged; saved_model.pb is not what its name says.") from None
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        raise ArtefactError(f"{path}: expected one graph with its objects. {ONLY_OURS}")
    meta = saved.meta_graphs[0]
    graph, library = meta.graph_def, {f.signature.name: f for f in meta.graph_def.library.function}
    bodies = [graph.node, *(f.node_def for f in library.values())]
    if sum(map(len, bodies)) > MOST_NODES or len(meta.object_graph_def.nodes) > MOST_NODES:
        raise too_large(path)
    answering = _reached(_functions_of(meta), library)
    odd = {n.op for body in bodies for n in body} - OPERATIONS - SAVING
    odd |= {n.op for name in answering for n in library[name].node_def} - OPERATIONS
    check_parts(odd, path)
    _check_rest(meta, path)
    return _pruned(saved, [library[name] for name in sorted(answering)])


def _functions_of(meta: Any) -> Iterator[str]:
    """The functions that belong to objects, and gradients; a loaded model can call no others."""
    objects = meta.object_graph_def
    yield from (gradient.gradient_func for gradient in meta.graph_def.library.registered_gradients)
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield from node.function.concrete_functions
        yield node.bare_concrete_function.concrete_function_name


def _reached(names: Iterable[str], library: dict[str, Any]) -> set[str]:
    """Those functions, and those that they call."""
    reached: set[str] = set()
    waiting = [name for name in names if name in library]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            attributes = [a for node in library[name].node_def for a in node.attr.values()]
            called = [f.name for a in attributes for f in (a.func, *a.list.func)]
            waiting += [name for name in called if name in library]
    return reached


def _check_rest(meta: Any, path: Path) -> None:
    objects = meta.object_graph_def.nodes
    odd = {node.WhichOneof("kind") or "nothing" for node in objects} - KINDS
    odd |= {node.user_object.identifier for node in objects if node.HasField("user_object")} - CLASSES
    odd |= {name for node in objects for name in (node.registered_name, node.registered_saver)} - {""}
    odd |= {"functions that save" for node in objects if node.saveable_objects}
    odd |= {file.filename for file in meta.asset_file_def}
    library = meta.graph_def.library
    odd |= {gradient.gradient_func for gradient in library.gradient}
    types = {gradient.registered_op_type for gradient in library.registered_gradients}
    odd |= {kind for kind in types if not kind.startswith(GRADIENT)}
    check_parts(odd, path, "parts")


def _pruned(saved: Any, answering: list[Any]) -> bytes:
    meta = saved.meta_graphs[0]
    meta.graph_def.ClearField("node")  # for TensorFlow 1 and its server
    meta.graph_def.library.ClearField("function")
    meta.graph_def.library.function.extend(answering)
    for field in ("saver_def", "collection_def", "signature_def", "asset_file_def"):
        meta.ClearField(field)
    return saved.SerializeToString(deterministic=True)
