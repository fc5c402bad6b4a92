"""Using a trained network: what an artefact is, prediction from files, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.late import late

if TYPE_CHECKING:
    from conviction.deploy.artefact import Artefact, Predictor
    from conviction.deploy.card import Card
    from conviction.deploy.explain import explain_file
    from conviction.deploy.opening import load
    from conviction.deploy.predict import Prediction, predict_files

__all__ = ["Artefact", "Card", "Prediction", "Predictor", "explain_file", "load", "predict_files"]

# A server that only predicts does not wait for what trains.
__getattr__ = late(
    __name__,
    {
        "Artefact": "conviction.deploy.artefact",
        "Card": "conviction.deploy.card",
        "Prediction": "conviction.deploy.predict",
        "Predictor": "conviction.deploy.artefact",
        "explain_file": "conviction.deploy.explain",
        "load": "conviction.deploy.opening",
        "predict_files": "conviction.deploy.predict",
    },
)
