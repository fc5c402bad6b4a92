"""Using a trained network: prediction from files."""

from conviction.deploy.predict import Prediction, predict_files

__all__ = ["Prediction", "predict_files"]
