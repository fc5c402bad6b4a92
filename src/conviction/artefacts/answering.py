"""A fresh process that opens an artefact with its own runtime and classifies picture files.

    python -m conviction.artefacts.answering ARTEFACT PICTURES.json ANSWERS.npy

It shares nothing with the process that wrote the artefact: no Keras where the format needs none, no pixels but those of
the files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from conviction.artefacts.artefact import Predictor
from conviction.artefacts.opening import load
from conviction.data.decode import UnreadableImageError, decode
from conviction.data.tree import UnreadableFileError, open_tree
from conviction.errors import ConvictionError, RequestError
from conviction.process import own_process

BATCH = 500


def answers(predictor: Predictor, location: Path, names: list[str]) -> np.ndarray:
    """Probabilities for picture files of a folder or archive, (n, classes) float32, in the order of the names.

    Raises:
        RequestError: One of them cannot be read.
    """
    parts = [np.empty((0, len(predictor.class_names)), np.float32)]
    with open_tree(location) as tree:
        for start in range(0, len(names), BATCH):
            pixels = []
            for name in names[start : start + BATCH]:
                try:
                    pixels.append(decode(tree.read(name), predictor.rule))
                except (UnreadableFileError, UnreadableImageError) as failure:
                    raise RequestError(f"{location}: {name}: cannot be read ({failure}).") from None
            parts.append(predictor.predict_pixels(np.stack(pixels)).probabilities)
    return np.concatenate(parts)


def main(artefact: str, pictures: str, out: str) -> int:
    """Writes the answers; says on stderr why it cannot, in one line."""
    own_process()
    job = json.loads(Path(pictures).read_text(encoding="utf-8"))
    try:
        probabilities = answers(load(artefact), Path(job["location"]), job["names"])
    except ConvictionError as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    np.save(out, probabilities, allow_pickle=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
