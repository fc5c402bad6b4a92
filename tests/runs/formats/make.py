"""Makes a run folder to be kept: see the README beside it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

import conviction

KEYS = {"training.epochs": 1, "model.filters": [4], "model.dense": [4], "training.threads": 1}


def pictures() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Noise around two levels of grey."""
    chance = np.random.default_rng(0)
    labels = np.arange(48) % 2
    pixels = np.clip(chance.normal(80 + 80 * labels[:, None, None], 30, (48, 8, 8)), 0, 255)
    return pixels.astype(np.uint8), labels, ["dark", "light"]


if __name__ == "__main__":
    run = conviction.fit(pictures(), KEYS, out=Path(sys.argv[1]), show=None)
    (run.path / "report.html").unlink()
    shutil.rmtree(run.path / "checkpoints")
