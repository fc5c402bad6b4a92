"""What each backbone costs, counted on Keras's own network: ``python -m tests.model.backbone_sizes`` writes it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conviction.model.backbones import kinds


def count(kind: kinds.Kind) -> kinds.Sizes:
    """Counts on a network of 224x224 pixels."""
    model = kind.build((kinds.SIZE, kinds.SIZE, 3), None)
    starts = kind.blocks(model)
    return kinds.Sizes(
        features=model.output_shape[-1],
        params=model.count_params(),
        all=sum(learned(layer) for layer in model.layers),
        last=tuple(sum(learned(layer) for layer in model.layers[start:]) for start in reversed(starts)),
        multiply_adds=sum(multiply_adds(layer) for layer in model.layers),
        outputs=sum(outputs(layer) for layer in model.layers),
        last_outputs=tuple(
            sum(outputs(layer) for layer in model.layers[start:]) for start in reversed(starts)
        ),
    )


def learned(layer: Any) -> int:
    """Its trainable parameters, without those of batch normalisation."""
    if hasattr(layer, "layers"):
        return sum(learned(inner) for inner in layer.layers)
    if type(layer).__name__ == "BatchNormalization":
        return 0
    return sum(math.prod(v.shape) for v in layer.trainable_variables)


def outputs(layer: Any) -> int:
    """The values that a layer gives, for one picture."""
    if hasattr(layer, "layers"):
        return sum(outputs(inner) for inner in layer.layers)
    return math.prod(layer.output.shape[1:])


def multiply_adds(layer: Any) -> int:
    """Of its convolutions and dense layers, for one picture."""
    if hasattr(layer, "layers"):
        return sum(multiply_adds(inner) for inner in layer.layers)
    if type(layer).__name__ not in ("Conv2D", "DepthwiseConv2D", "Dense"):
        return 0
    kernel = math.prod(layer.kernel.shape)
    return kernel * math.prod(layer.output.shape[1:-1])


if __name__ == "__main__":
    content = {name: asdict(count(kind)) for name, kind in kinds.KINDS.items()}
    Path(kinds.__file__).with_name("sizes.json").write_text(json.dumps(content, indent=1) + "\n")
