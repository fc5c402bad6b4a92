"""Using a trained network: prediction from files, and why."""

from conviction.deploy.explain import explain_file
from conviction.deploy.predict import Prediction, predict_files

__all__ = ["Prediction", "explain_file", "predict_files"]
