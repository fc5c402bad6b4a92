"""What a LiteRT model holds, and whether that is all ours; looked at before its runtime sees it."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from conviction.artefacts.bounds import MOST_NODES, ONLY_OURS, check_finite, check_parts, too_large
from conviction.errors import ArtefactError

# Every built-in operator that our exports have; a test exports every kind of network and compares.
OPERATIONS = frozenset(
    {
        *("ADD", "AVERAGE_POOL_2D", "CAST", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D"),
        *("DEQUANTIZE", "ELU", "EXP", "FULLY_CONNECTED", "GELU", "GREATER", "HARD_SWISH"),
        *("LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "NEG", "PACK", "PAD"),
        *("QUANTIZE", "RESHAPE", "RSQRT", "SELECT_V2", "SHAPE", "SOFTMAX", "SQUARED_DIFFERENCE"),
        *("STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE"),
    }
)
# Bytes a number, by the type of a tensor.
TYPES = {"FLOAT32": 4, "FLOAT16": 2, "INT32": 4, "UINT8": 1, "INT64": 8, "INT8": 1, "BOOL": 1}
# Numbers of one tensor, for one picture.
MOST_NUMBERS = 2**31


def check_model(content: bytes, path: Path) -> None:
    """Looks through all of a model.

    Raises:
        ArtefactError: It is damaged, or has parts that none of our networks has.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(content, 0)
        if not schema.Model.ModelBufferHasIdentifier(content, 0):
            raise ValueError
        graph = _only_graph(model, path)
        check_parts(_odd(model, graph, schema), path)
        for index in range(graph.TensorsLength()):
            _check_tensor(graph.Tensors(index), model, schema, path)
        _check_indices(model, graph)
    # What following a wrong offset leads to; ArtefactError, itself a ValueError, is none of these.
    except ArtefactError:
        raise
    except (struct.error, AttributeError, IndexError, TypeError, ValueError, OverflowError):
        raise ArtefactError(f"{path}: damaged, or not a LiteRT model.") from None


def _only_graph(model: Any, path: Path) -> Any:
    if model.SubgraphsLength() != 1:
        raise ArtefactError(
            f"{path}: expected one graph; it has {model.SubgraphsLength():,}, so it is not opened. {ONLY_OURS}"
        )
    graph = model.Subgraphs(0)
    counts = (
        *(model.OperatorCodesLength(), model.BuffersLength(), model.MetadataLength()),
        *(graph.OperatorsLength(), graph.TensorsLength()),
    )
    if max(counts) > MOST_NODES:
        raise too_large(path)
    return graph


def _odd(model: Any, graph: Any, schema: ModuleType) -> Iterator[str]:
    """What none of our networks has, by name."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        if code.CustomCode() is not None:
            yield code.CustomCode().decode(errors="replace")
        # Of the two fields the larger counts; the first is of a time with fewer than 127 operators.
        name = names.get(max(code.DeprecatedBuiltinCode(), code.BuiltinCode()), "an unknown operator")
        if name not in OPERATIONS:
            yield name
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        if (
            operator.CustomOptionsLength()
            or operator.LargeCustomOptionsSize()
            or operator.BuiltinOptions2Type()
        ):
            yield "options of a custom operator"
        if operator.MutatingVariableInputsLength() or operator.IntermediatesLength():
            yield "variables"
    if getattr(model, "ExternalBuffersLength", int)() or getattr(model, "ExternalBufferGroupsLength", int)():
        yield "data in another file"


def _check_indices(model: Any, graph: Any) -> None:
    """Raises IndexError where a part points at one that is not there."""
    tensors, codes = graph.TensorsLength(), model.OperatorCodesLength()
    for owner in (graph, *(graph.Operators(i) for i in range(graph.OperatorsLength()))):
        for several in (_numbers(owner.InputsAsNumpy()), _numbers(owner.OutputsAsNumpy())):
            if len(several) and not -1 <= several.min() <= several.max() < tensors:
                raise IndexError
    for index in range(graph.OperatorsLength()):
        if graph.Operators(index).OpcodeIndex() >= codes:
            raise IndexError


def _check_tensor(tensor: Any, model: Any, schema: ModuleType, path: Path) -> None:
    names = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
    kind = names.get(tensor.Type(), "?")
    if kind not in TYPES or tensor.IsVariable() or tensor.Sparsity() or tensor.VariantTensorsLength():
        raise ArtefactError(f"{path}: has numbers of a type that ours have not ({kind}). {ONLY_OURS}")
    shape = [int(side) for side in _numbers(tensor.ShapeAsNumpy())]
    if tensor.Buffer() >= model.BuffersLength():
        raise IndexError
    buffer = model.Buffers(tensor.Buffer())
    if buffer.Offset() or buffer.Size():
        raise ArtefactError(f"{path}: refers to data outside its model, so it is not opened.")
    elements, there = math.prod(shape), buffer.DataLength()
    if (
        any(side < 0 for side in shape)
        or elements > MOST_NUMBERS
        or (there and there != elements * TYPES[kind])
    ):
        raise ArtefactError(
            f"{path}: damaged; a tensor declares {elements:,} numbers, and its data has {there:,} bytes."
        )
    if there and kind in ("FLOAT32", "FLOAT16"):
        check_finite(np.frombuffer(buffer.DataAsNumpy().tobytes(), kind.lower()), path)
    scales = tensor.Quantization() and tensor.Quantization().ScaleAsNumpy()
    check_finite(_numbers(scales).astype(np.float32), path)


def _numbers(vector: Any) -> np.ndarray:
    """A vector of a flatbuffer, of which there may be none."""
    return vector if isinstance(vector, np.ndarray) else np.empty(0, np.int64)
