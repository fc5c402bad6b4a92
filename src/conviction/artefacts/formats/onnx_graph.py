"""What an ONNX file holds, and whether that is all ours; looked at before onnxruntime sees it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction.artefacts.bounds import MOST_NODES, ONLY_OURS, check_finite, check_parts, too_large
from conviction.errors import ArtefactError, printable

if TYPE_CHECKING:
    import onnx

CARD = "conviction"
INPUT, OUTPUT = "pixels", "probabilities"
# Every operator that our exports write; a test exports every kind of network and compares.
OPERATIONS = frozenset(
    {
        *("Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "DequantizeLinear", "Elu"),
        *("Erf", "Gemm", "GlobalAveragePool", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Neg", "Pad"),
        *("QuantizeLinear", "Reciprocal", "ReduceMean", "Relu", "Reshape", "Selu", "Sigmoid"),
        *("Softmax", "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose"),
    }
)
# Sets of operators that converter and quantizer declare; they use none but the first.
DECLARED = frozenset(
    {
        *("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training"),
        *("com.microsoft", "com.microsoft.experimental", "com.microsoft.nchwc", "org.pytorch.aten"),
    }
)
# Sizes, strides, pads and axes among the attributes; the largest of ours are kernels and pools of 1,024.
MOST_ATTRIBUTE = 65_536
TYPES = frozenset({"FLOAT", "FLOAT16", "INT8", "UINT8", "INT32", "INT64"})


def checked_model(content: bytes, path: Path) -> onnx.ModelProto:
    """The model, after all of it has been looked through.

    Raises:
        ArtefactError: It is damaged, refers to anything outside itself, or has parts that none of our networks has.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise ArtefactError(f"{path}: damaged, or not an ONNX file.") from None
    if CARD not in {prop.key for prop in model.metadata_props}:
        raise ArtefactError(
            f"{path}: has no model card, so what its input and outputs mean is unknown; expected a file that "
            "'conviction export' wrote."
        )
    graph = model.graph
    if max(len(graph.node), len(graph.initializer), len(graph.value_info)) > MOST_NODES:
        raise too_large(path)
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ArtefactError(
                f"{path}: refers to data in another file ({printable(tensor.name)}), so it is not opened."
            )
    check_parts(_odd(model), path)
    if [value.name for value in graph.input] != [INPUT] or [v.name for v in graph.output] != [OUTPUT]:
        raise ArtefactError(f"{path}: expected one input '{INPUT}' and one output '{OUTPUT}'. {ONLY_OURS}")
    for tensor in _tensors(model):
        _check_tensor(tensor, path)
    return model


def _odd(model: onnx.ModelProto) -> Iterator[str]:
    """What none of our networks has, by name."""
    graph = model.graph
    yield from ("functions" for _ in model.functions)
    yield from ("training" for _ in model.training_info)
    yield from ("sparse weights" for _ in graph.sparse_initializer)
    yield from {opset.domain for opset in model.opset_import} - DECLARED
    for node in graph.node:
        if node.domain:
            yield node.domain
        if node.op_type not in OPERATIONS:
            yield node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                yield f"a graph within {node.op_type}"
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors or attribute.ref_attr_name:
                yield f"{attribute.name} of {node.op_type}"
            if any(abs(value) > MOST_ATTRIBUTE for value in (attribute.i, *attribute.ints)):
                yield f"a large {attribute.name} of {node.op_type}"


def _check_tensor(tensor: Any, path: Path) -> None:
    import onnx

    name = onnx.TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in _known_types() else "?"
    if name not in TYPES:
        raise ArtefactError(
            f"{path}: has weights of a type that ours have not ({printable(name)}). {ONLY_OURS}"
        )
    elements = math.prod(tensor.dims)
    there = (
        len(tensor.raw_data) // onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if tensor.HasField("raw_data")
        else len(tensor.float_data) or len(tensor.int32_data) or len(tensor.int64_data)
    )
    if elements != there or any(side < 0 for side in tensor.dims):
        raise ArtefactError(
            f"{path}: damaged; {printable(tensor.name)} declares {elements:,} numbers and has {there:,}."
        )
    check_finite(onnx.numpy_helper.to_array(tensor), path)


def _known_types() -> set[int]:
    import onnx

    return set(onnx.TensorProto.DataType.values())


def _tensors(model: onnx.ModelProto) -> Iterator[Any]:
    yield from model.graph.initializer
    for sparse in model.graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in model.graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors
