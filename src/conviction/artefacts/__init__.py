"""Using a trained network: what an artefact is, prediction from files, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.late import late

if TYPE_CHECKING:
    from conviction.artefacts.artefact import Artefact, Predictor
    from conviction.artefacts.card import Card
    from conviction.artefacts.explain import explain_file
    from conviction.artefacts.opening import load
    from conviction.artefacts.predict import Prediction, predict_files

__all__ = ["Artefact", "Card", "Prediction", "Predictor", "explain_file", "load", "predict_files"]

# A server that only predicts does not wait for what trains.
__getattr__ = late(
    __name__,
    {
        "Artefact": "conviction.artefacts.artefact",
        "Card": "conviction.artefacts.card",
        "Prediction": "conviction.artefacts.predict",
        "Predictor": "conviction.artefacts.artefact",
        "explain_file": "conviction.artefacts.explain",
        "load": "conviction.artefacts.opening",
        "predict_files": "conviction.artefacts.predict",
    },
)
