from .artefact import Artefact as Artefact
from .artefact import Predictor as Predictor
from .card import Card as Card
from .explain import explain as explain
from .opening import load as load
from .predict import FilePrediction as FilePrediction
