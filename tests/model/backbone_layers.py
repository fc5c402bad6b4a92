"""The layers of each backbone, as Keras's own network has them: ``python -m tests.model.backbone_layers`` writes it."""

from __future__ import annotations

import json
import math
from typing import Any

from conviction.model.backbones import kinds
from conviction.model.backbones.layers import LISTED, inner_layers


def rows(kind: kinds.Kind) -> list[list[Any]]:
    """Name, type, parameters; rows of its output for each 32 pixels, and how many more there are; channels."""
    small, large = (inner_layers(kind.build((side, side, 3), None)) for side in (64, 96))
    assert list(small) == list(large)
    out = []
    for name, inner in small.items():
        shape, larger = inner.layer.output.shape, large[name].layer.output.shape
        # A vector has no rows.
        scale, extra = (larger[1] - shape[1], 3 * shape[1] - 2 * larger[1]) if len(shape) == 4 else (0, 0)
        params = sum(math.prod(w.shape) for w in getattr(inner.layer, "weights", ()))
        out.append([name, type(inner.layer).__name__, params, scale, extra, shape[-1]])
    return out


def written(content: dict[str, list[list[Any]]]) -> str:
    """A layer a line."""
    parts = [f'"{name}": [\n' + ",\n".join(map(json.dumps, every)) + "\n]" for name, every in content.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    LISTED.write_text(written({name: rows(kind) for name, kind in kinds.KINDS.items()}))
