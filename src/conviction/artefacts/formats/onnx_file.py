"""ONNX: written through Keras, read by onnxruntime without TensorFlow."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conviction.artefacts.artefact import Artefact
from conviction.artefacts.bounds import read_bytes
from conviction.artefacts.card import Card, parse_card
from conviction.artefacts.formats.onnx_graph import CARD, INPUT, OUTPUT, checked_model
from conviction.artefacts.formats.reading import in_chunks, missing
from conviction.audience import option
from conviction.backend import quiet_stderr
from conviction.errors import ArtefactError, printable
from conviction.extras import needed

if TYPE_CHECKING:
    import keras
    import onnx

# Every runtime since 2022 has it.
OPSET = 17
# With the activations, so that the range of a convolution is that after them: for ReLU6 0 to 6, and not -20 to 20. A
# network on EfficientNet-Lite0 then gives 3% of TrashNet's validation images another class; without them, 10%.
QUANTIZED_OPERATIONS = ["Conv", "MatMul", "Gemm", "Relu", "Clip"]


def write(model: keras.Model, path: Path, card: Card, calibration: np.ndarray) -> None:
    """Writes the file; see ``Format.write``."""
    needed("tensorflow", f"{option('format', 'formats')} onnx")
    try:
        import onnx
        import tf2onnx  # noqa: F401  Keras's own message about it is a traceback
    except ImportError as failure:
        raise missing(f"export {option('format', 'formats')} onnx", failure, "export") from None
    with tempfile.TemporaryDirectory(prefix=".onnx-", dir=path.parent) as folder:
        plain = Path(folder) / "plain.onnx"
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tf2onnx asks NumPy for names that it will define again
            model.export(plain, format="onnx", opset_version=OPSET, verbose=False)
        graph = onnx.load(plain)
        _name(graph)
        _flatten_plainly(graph)
        _write_erfc(graph)
        if card.quantized == "float16":
            graph = _to_float16(graph)
        elif card.quantized == "int8":
            graph = _to_int8(graph, Path(folder), calibration)
    graph.producer_name = "conviction"
    graph.metadata_props.add(key=CARD, value=card.model_dump_json())
    onnx.checker.check_model(graph)
    path.write_bytes(graph.SerializeToString(deterministic=True))


def read(path: Path, threads: int | None = None) -> Artefact:
    """Opens the file after its content has been checked.

    Raises:
        ArtefactError: It is damaged, not one of ours, or refers to anything outside itself.
    """
    try:
        import onnxruntime as ort
    except ImportError as failure:
        raise missing(f"{path}", failure, "serve") from None
    content = read_bytes(path)
    card = parse_card(
        {prop.key: prop.value for prop in checked_model(content, path).metadata_props}[CARD], path
    )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as failure:  # onnxruntime has an exception class for each cause
        raise ArtefactError(f"{path}: onnxruntime cannot open it ({printable(str(failure), 200)}).") from None

    def answer(pixels: np.ndarray) -> np.ndarray:
        return session.run([OUTPUT], {INPUT: pixels})[0]

    return Artefact(path, card, in_chunks(answer)).checked()


def _name(model: onnx.ModelProto) -> None:
    """Calls input and output what they are, and the number of images ``n``."""
    names = {model.graph.input[0].name: INPUT, model.graph.output[0].name: OUTPUT}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (model.graph.input[0], model.graph.output[0]):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "n"


def _flatten_plainly(model: onnx.ModelProto) -> None:
    """Writes the shape [as many as there are, the rest], which the exporter calculates in seven operations.

    They take a tenth of the time of a small network. In all our networks the first dimension is the images.
    """
    import onnx

    made = {name: node for node in model.graph.node for name in node.output}
    shape = onnx.numpy_helper.from_array(np.array([0, -1], np.int64), "images_by_rest")
    flattened = [n for n in model.graph.node if n.op_type == "Reshape" and n.input[1] in made]
    for node in flattened:
        node.input[1] = shape.name
    if flattened:
        model.graph.initializer.append(shape)
    while True:
        used = {name for node in model.graph.node for name in node.input} | {OUTPUT}
        idle = [node for node in model.graph.node if not used & set(node.output)]
        if not idle:
            return
        for node in idle:
            model.graph.node.remove(node)


def _write_erfc(model: onnx.ModelProto) -> None:
    """Writes 1 - erf(x) for erfc(x), which TensorFlow's gelu has and ONNX does not."""
    import onnx

    one = onnx.numpy_helper.from_array(np.array(1.0, np.float32), "one")
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type != "Erfc":
            model.graph.node.append(node)
            continue
        erf = f"{node.output[0]}_erf"
        model.graph.node.append(onnx.helper.make_node("Erf", list(node.input), [erf], name=erf))
        model.graph.node.append(
            onnx.helper.make_node("Sub", [one.name, erf], list(node.output), name=node.name)
        )
    if len(model.graph.node) > len(nodes):
        model.graph.initializer.append(one)


def _to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it prints the name of each weight that is too small for the type
        return convert_float_to_float16(model, keep_io_types=True)


def _to_int8(model: onnx.ModelProto, folder: Path, calibration: np.ndarray) -> onnx.ModelProto:
    """Static quantization: activations by their range over the calibration images, weights by channel."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = iter(np.array_split(calibration, max(1, len(calibration) // 64)))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    plain, prepared, small = folder / "named.onnx", folder / "prepared.onnx", folder / "small.onnx"
    onnx.save(model, plain)
    with quiet_stderr():
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        # Signed on both sides: processors without VNNI overflow with unsigned activations and signed weights.
        quantize_static(
            str(prepared),
            str(small),
            Images(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=QUANTIZED_OPERATIONS,
        )
    return onnx.load(small)
