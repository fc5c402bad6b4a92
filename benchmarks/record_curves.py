"""Records the runs from which the tests of the overfitting monitor take their noise: real runs of the lab's network.

    python benchmarks/record_curves.py OUT.npz [--seeds 5] [--images 1500]

For Fashion-MNIST and CIFAR-10 in turn, ``recipe=lab`` over its 12 epochs: the history, and the loss of each of some
validation images after each epoch, so that the noise of a smaller validation set can be drawn from it. Takes about two
minutes a run on two cores. The file in the tests is ``tests/training/recorded.npz``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

EPOCHS = 12


def record(source: str, seed: int, images: int, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """One run: history (epochs, 4) float32, and losses (epochs, images) float16 of validation images."""
    from conviction import fit
    from conviction.flow import run as flow_run
    from conviction.training import recorder

    losses: list[np.ndarray] = []
    held: dict[str, Any] = {}
    train, end = flow_run.train, recorder.Recorder.on_epoch_end

    def remembering(model: Any, **given: Any) -> Any:
        held["x"] = given["pixels"][given["validation_indices"][:images]]
        held["y"] = given["targets"][given["validation_indices"][:images]]
        return train(model, **given)

    def measuring(self: Any, epoch: int, logs: Any) -> None:
        p = np.concatenate([np.asarray(self.model(held["x"][i : i + 500])) for i in range(0, images, 500)])
        losses.append(-np.log(np.clip((p * held["y"]).sum(axis=1), 1e-7, 1)).astype(np.float16))
        end(self, epoch, logs)

    flow_run.train, recorder.Recorder.on_epoch_end = remembering, measuring  # type: ignore[method-assign]
    try:
        run = fit(
            source,
            ["recipe=lab", f"training.seed={seed}", f"training.epochs={EPOCHS}", "evaluation.test=false"],
            out=work / f"{Path(source).stem}-{seed}",
        )
    finally:
        flow_run.train, recorder.Recorder.on_epoch_end = train, end  # type: ignore[method-assign]
    history = [[r.loss, r.accuracy, r.val_loss, r.val_accuracy] for r in run.epoch_rows]
    return np.array(history, np.float32), np.stack(losses)


def main() -> None:
    """Records, and writes after every run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1500)
    chosen = parser.parse_args()
    place = Path(os.environ["CONVICTION_DATA_DIR"])
    found: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory(prefix="record-") as work:
        for seed in range(chosen.seeds):
            for name, source in (
                ("fashion", "fashion_mnist"),
                ("cifar", str(place / "cifar10-jpeg75.zip")),
            ):
                history, losses = record(source, seed, chosen.images, Path(work))
                found.setdefault(f"{name}_history", []).append(history)
                found.setdefault(f"{name}_losses", []).append(losses)
                np.savez_compressed(chosen.out, **{key: np.stack(value) for key, value in found.items()})
                print(f"{name}, seed {seed}: lowest in epoch {history[:, 2].argmin() + 1}", flush=True)


if __name__ == "__main__":
    main()
