"""The parity gate: an artefact is kept if, from picture files, it gives the answers of the model that was tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conviction.artefacts.card import Quantized
from conviction.artefacts.pictures import Pictures
from conviction.backend import BACKEND_VARIABLE, backend_of_exports
from conviction.errors import ParityError, RequestError

# Probabilities in float32 by another program differ in the sixth or seventh decimal: sums in another order.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """How an artefact's answers compare with the run's.

    Attributes:
        images: Compared, from their files.
        part: "test" or, for a run whose test set is sealed, "validation".
        greatest: Difference of any probability.
        tolerance: Accepted; None for quantized artefacts, which are held to ``most_lost``.
        other_classes: Images that get another class.
        lost: Share of validation images that are right with the run minus that with the artefact; None where
            nothing was quantized.
        lost_ci95: Its 95% interval, by Newcombe's method for paired shares.
        labelled: Validation images behind ``lost``.
    """

    images: int
    part: str
    greatest: float
    tolerance: float | None
    other_classes: int
    lost: float | None = None
    lost_ci95: tuple[float, float] | None = None
    labelled: int = 0

    @property
    def sentence(self) -> str:
        """For people."""
        text = (
            f"{self.images:,} {self.part} images from their files: largest difference in a probability "
            f"{self.greatest:.1g}"
        )
        if self.tolerance is not None:
            text += f" (accepted: {self.tolerance:g})"
        text += f", {self.other_classes} given another class"
        if self.lost is not None and self.lost_ci95 is not None:
            low, high = self.lost_ci95
            text += (
                f"; accuracy lost on {self.labelled:,} validation images: {100 * self.lost:.2f} points, "
                f"95% interval {100 * low:.2f} to {100 * high:.2f}"
            )
        return text + "."


def ask(artefact: Path, pictures: Pictures, folder: Path) -> np.ndarray:
    """What an artefact answers in a fresh process; (n, classes) float32.

    Raises:
        ParityError: It cannot be opened, or does not answer.
    """
    asked, out = folder / "pictures.json", folder / "answers.npy"
    asked.write_text(json.dumps({"location": pictures.location, "names": pictures.names}), encoding="utf-8")
    out.unlink(missing_ok=True)
    run_module("conviction.artefacts.answering", str(artefact), str(asked), str(out), doing=artefact.name)
    return np.load(out, allow_pickle=False)


def run_module(name: str, *arguments: str, doing: str) -> None:
    """Runs one of our modules in its own process, with the backend of exports.

    Raises:
        RequestError: The process says that the request was wrong.
        ParityError: It failed otherwise.
    """
    environment = {**os.environ, BACKEND_VARIABLE: backend_of_exports(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            name,
            *arguments,
        ],  # -P: nothing is imported from where it happens to run
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return
    lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
    if done.returncode == 2:
        raise RequestError(lines[-1])
    raise ParityError(f"{doing}: could not be made ({lines[-1][:300]}). Nothing was kept.")


def compare(
    reference: np.ndarray, answered: np.ndarray, name: str, part: str, quantized: Quantized | None
) -> Parity:
    """Compares answers with the run's own.

    Args:
        reference: (n, classes) from the run.
        answered: (n, classes) from the artefact, the same images.
        name: Of the artefact, for messages.
        part: Of the images.
        quantized: Whether differences are expected; they are then only measured.

    Raises:
        ParityError: A probability differs by more than ``TOLERANCE``, or an image whose two likeliest classes are more
            than twice that apart gets another class.
    """
    if answered.shape != reference.shape:
        raise ParityError(
            f"{name}: gave answers of shape {answered.shape}; expected {reference.shape}. Nothing was kept."
        )
    differences = np.abs(answered - reference).max(axis=1)
    greatest = float(differences.max(initial=0.0))
    changed = answered.argmax(axis=1) != reference.argmax(axis=1)
    parity = Parity(len(reference), part, greatest, None if quantized else TOLERANCE, int(changed.sum()))
    if quantized:
        return parity
    ordered = np.sort(reference, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] >= 2 * TOLERANCE
    if not greatest <= TOLERANCE or (changed & clear).any():  # also where it is not a number
        wrong = int((~(differences <= TOLERANCE)).sum())
        raise ParityError(
            f"{name}: does not give the answers of the model that was tested: {wrong} of {len(reference)} {part} "
            f"images differ by more than {TOLERANCE:g}, the largest difference is {greatest:.2g}, and "
            f"{int(changed.sum())} get another class. Nothing was kept."
        )
    return parity
