"""Writes the small network that the page of the lab opens with, from the run in which it was trained.

    python scripts/opening.py RUN

The run is of `conviction fit mnist --config scripts/opening.yaml`, and the evidence on the page is its test set's.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from conviction.runs import open_run

FILE = Path(__file__).parents[1] / "src/conviction/web/static/live/digits.json"
# What the browser needs to know of each kind of layer.
KEPT = {"Conv2D": ("filters", "kernel_size"), "MaxPooling2D": ("pool_size",), "Dense": ("units",)}


def network(folder: Path) -> dict[str, Any]:
    """The layers and weights of a run, its classes, and what its test set said."""
    run = open_run(folder)
    test = run.evaluation.test
    if test is None:
        raise SystemExit(f"The test set of {folder} is sealed; open it with: conviction evaluate {folder}")
    layers = []
    for layer in run.model.layers:
        kind = type(layer).__name__
        if kind not in KEPT:
            continue
        made = {"type": kind, **{key: getattr(layer, key) for key in KEPT[kind]}}
        if layer.weights:
            made["weights"], made["bias"] = map(text_of, layer.get_weights())
        layers.append(made)
    return {
        "shape": list(run.model.input_shape[1:3]),
        "classes": list(run.class_names),
        "evidence": {"images": test.n, "right": round(test.accuracy * test.n)},
        "layers": layers,
    }


def text_of(values: np.ndarray) -> str:
    """Little-endian float32 numbers in base64, the last axis fastest."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


if __name__ == "__main__":
    FILE.write_text(json.dumps(network(Path(sys.argv[1])), indent=1) + "\n")
    print(f"{FILE.stat().st_size:,} bytes: {FILE}")
