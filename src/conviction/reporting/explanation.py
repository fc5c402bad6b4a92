"""Why, as sentences and tables: what the terminal prints and the page shows."""

from __future__ import annotations

from conviction.audience import by_key, option
from conviction.explanation import (
    Combined,
    Convolution,
    Explanation,
    Pooled,
    Softmax,
    Value,
    WeightedSum,
    region_shares,
)
from conviction.explanation.numbers import number, position_text
from conviction.explanation.picture import REGIONS
from conviction.reporting.steps import Step, Table, printable

PRODUCTS_SHOWN = 12
# Nobody reads a larger window as a table.
MOST_WINDOW = 12


def explanation_steps(explanation: Explanation, file: str) -> list[Step]:
    """The answer, where its evidence lies, the layers, and the numbers of one value if they were asked for."""
    steps = [_answer(explanation, file), _evidence(explanation), _layers(explanation)]
    if explanation.value is not None:
        steps.append(_numbers(explanation.value))
    if isinstance(explanation.value, Softmax):
        steps.append(_softmax(explanation.value, explanation.class_names))
    return steps


def _answer(explanation: Explanation, file: str) -> Step:
    (label, probability), *others = explanation.likeliest
    following = ", ".join(f"{name} {p:.1%}" for name, p in others[:3])
    sentences = [f"{printable(file)}: {label}, {probability:.1%}; then {following}."]
    if explanation.averaged is not None:
        index = int(explanation.averaged.argmax())
        sentences.append(
            f"This is for the picture as it is. Averaged with its other versions{by_key('evaluation.views')}"
            f", the answer is {explanation.class_names[index]}, {explanation.averaged[index]:.1%}."
        )
    return Step("Answer", tuple(sentences))


def _evidence(explanation: Explanation) -> Step:
    name = explanation.class_names[explanation.class_index]
    height, width = explanation.pixels.shape[:2]
    maps = {f"Grad-CAM at {cam.layer}": cam.fine for cam in explanation.grad_cams}
    maps["gradient of the input"] = explanation.gradient
    sentences = [
        f"For class {name}: how much of each map lies in each quarter of the picture, and in its centre (the middle "
        "half of rows and columns). An even map has 25% in each."
    ]
    for cam in explanation.grad_cams:
        if not cam.coarse.any():
            sentences.append(f"Nothing in {cam.layer} speaks for class {name}: its map is zero everywhere.")
    if explanation.grad_cams:
        cells = " and ".join("x".join(map(str, cam.coarse.shape)) for cam in explanation.grad_cams)
        sentences.append(
            f"Grad-CAM is coarse ({cells} cells over {height}x{width} pixels) and depends on the layer. It shows where "
            "the layer holds evidence for the class, not what the evidence is, nor whether the answer is right."
        )
    else:
        sentences.append("The network has no convolution, so it has no maps that Grad-CAM could weight.")
    rows = tuple(
        (title, *(f"{share:.0%}" for share in region_shares(heat).values())) for title, heat in maps.items()
    )
    return Step(
        "Where the evidence lies",
        tuple(sentences),
        Table(("map", *REGIONS), rows, right=tuple(range(1, 1 + len(REGIONS)))),
    )


def _layers(explanation: Explanation) -> Step:
    rows = tuple(
        (
            layer.name,
            layer.kind,
            "x".join(map(str, layer.output.shape)),
            number(layer.output.min()),
            number(layer.output.mean()),
            number(layer.output.max()),
            f"{(layer.output == 0).mean():.0%}",
        )
        for layer in explanation.layers
    )
    head = ("layer", "type", "output", "least", "mean", "greatest", "zeros")
    within = [
        f"{layer.name} is made of {len(layer.inside)} layers; this is what the last of them gave. Each has a name too, "
        f"from {layer.inside[0]} to {layer.inside[-1]}."
        for layer in explanation.layers
        if layer.inside
    ]
    return Step(
        "What every layer gave",
        (
            f"These are the outputs for this picture. {option('layer')} NAME {option('at')} ROW,COLUMN,CHANNEL "
            f"(or {option('at')} UNIT) shows the numbers of one value.",
            *within,
        ),
        Table(head, rows, right=(2, 3, 4, 5, 6)),
    )


def _numbers(value: Value) -> Step:
    verdict = (
        f"The layer computed {value.computed:.6g}, and these numbers come to {value.value:.6g}: the same, within "
        "rounding."
        if value.agrees
        else f"The layer computed {value.computed:.6g}, but these numbers come to {value.value:.6g}. Processors that "
        "multiply with fewer bits differ like this."
    )
    sentences = [f"{value.kind}: {value.equation}", verdict]
    table = None
    if isinstance(value, WeightedSum):
        count = value.products.size
        shown = min(count, PRODUCTS_SHOWN)
        if isinstance(value, Convolution):
            sentences.append(_patch_sentence(value))
        if shown < count:
            sentences.append(f"The {shown} largest of {count:,} products:")
        table = _products(value)
    elif isinstance(value, Combined):
        table = _combined(value)
    elif isinstance(value, Pooled) and max(value.inputs.shape) <= MOST_WINDOW:
        table = _window(value)
    return Step(f"{value.layer} at {position_text(value.position)}", tuple(sentences), table)


def _patch_sentence(value: Convolution) -> str:
    window = value.window
    rows, columns = window.top + window.height - 1, window.left + window.width - 1
    outside = int(value.padding.sum())
    padded = (
        f"; {outside} of its {value.padding.size} positions lie outside and are padded with zeros"
        if outside
        else ""
    )
    count = value.inputs.shape[2]
    channels = f"{count} channels" if count > 1 else f"channel {value.first_channel}"
    return (
        f"The patch is rows {window.top} to {rows} and columns {window.left} to {columns} of the layer's input, "
        f"{channels}{padded}."
    )


def _products(value: WeightedSum) -> Table:
    rows = []
    products = value.products
    for at in value.largest(PRODUCTS_SHOWN):
        indices = at
        if isinstance(value, Convolution):
            indices = (at[0] + value.window.top, at[1] + value.window.left, at[2] + value.first_channel)
        numbers = (number(value.inputs[at]), number(value.weights[at]), number(products[at]))
        rows.append((*map(str, indices), *numbers))
    single = "channel" if len(value.position) == 3 else "unit"
    axes = ("row", "column", "channel") if isinstance(value, Convolution) else (single,)
    head = (*axes, "input", "weight", "product")
    return Table(head, tuple(rows), right=tuple(range(len(head))))


def _combined(value: Combined) -> Table:
    rows = [
        (name or "the picture", position_text(at), number(x))
        for name, at, x in zip(value.layers, value.sources, value.inputs, strict=True)
    ]
    if value.constant is not None:
        rows.append(("a fixed number", "", number(value.constant)))
    return Table(("from", "position", "value"), tuple(rows), right=(2,))


def _window(value: Pooled) -> Table:
    window = value.window
    head = ("row", *(f"column {window.left + i}" for i in range(window.width)))
    rows = tuple((str(window.top + i), *map(number, row)) for i, row in enumerate(value.inputs))
    return Table(head, rows, right=tuple(range(len(head))))


def _softmax(value: Softmax, class_names: list[str]) -> Step:
    total = float(value.exponentials.sum())
    rows = tuple(
        (name, number(logit), number(power), f"{power / total:.2%}")
        for name, logit, power in zip(class_names, value.logits, value.exponentials, strict=True)
    )
    return Step(
        "Softmax",
        (
            f"The largest logit, {number(value.logits.max())}, is subtracted from each; e to that power, as a share of "
            f"the sum, {number(total)}, is the probability.",
        ),
        Table(("class", "logit", "e^(logit - largest)", "share"), rows, right=(1, 2, 3)),
    )
