"""A run, read back from its folder."""

from __future__ import annotations

import csv
import io
import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from conviction.audience import typed
from conviction.backend import import_keras, quiet_stderr
from conviction.config import Recipe, read_recipe
from conviction.config.text import read_bounded, shown
from conviction.data.decision import Decision
from conviction.data.prediction_images import ArrayPredictions, Pictures, check_decoded, pixels_to_predict
from conviction.data.rule import DecodingRule
from conviction.errors import RequestError, RunError, RunFileError
from conviction.evaluation import Verdict, judge_run
from conviction.model.network_file import checked_network
from conviction.model.own_classes import own_classes
from conviction.model.probabilities import predict_probabilities
from conviction.process import restores_process
from conviction.runs import content, data_content, folder
from conviction.runs.content import RunEnvironment, RunEvaluation
from conviction.runs.data_content import RunData, RunSplit
from conviction.runs.inside import refuse_links
from conviction.runs.model_card import ModelCard
from conviction.runs.reading import read_run_file, trouble_with
from conviction.training import EpochRow, RateSearch

if TYPE_CHECKING:
    import keras

T = TypeVar("T")
# A line for each of a hundred thousand epochs.
MOST_HISTORY = 16 * 2**20


@dataclass(frozen=True)
class RunFolder:
    """A run folder. Every part is read when it is asked for, and a damaged part is an error then."""

    path: Path

    @cached_property
    def config(self) -> Recipe:
        """The resolved specification."""

        return self._read(folder.CONFIG, read_recipe)

    @cached_property
    def data(self) -> RunData:
        """``data.json``: where the images came from, classes, counts, the split."""
        return self._read(folder.DATA, data_content.read_data)

    @property
    def split(self) -> RunSplit:
        """Which image was in which part.

        Raises:
            RunError: ``data.json`` does not say it, as that of the run that comes with the lesson.
        """
        if self.data.split is None:
            raise trouble_with(self.path / folder.DATA, ValueError("it has no 'split'"))
        return self.data.split

    @cached_property
    def epoch_rows(self) -> list[EpochRow]:
        """One row per finished epoch; empty if none has finished.

        Raises:
            RunError: The file is damaged, or without a row although the run is done.
        """
        rows = self._read(folder.HISTORY, _history) if self._has(folder.HISTORY) else []
        if not rows and self.status == "done":
            raise trouble_with(self.path / folder.HISTORY, ValueError("it has no epoch of a finished run"))
        return rows

    @property
    def search(self) -> RateSearch | None:
        """``learning_rate.json``: the search for a learning rate; None if there was none.

        Raises:
            RunError: The file is damaged.
        """
        return self._read(folder.RATES, content.read_rates) if self._has(folder.RATES) else None

    @cached_property
    def environment(self) -> RunEnvironment:
        """``environment.json``: versions, hardware, duration, peak memory."""
        return self._read(folder.ENVIRONMENT, content.read_environment)

    @cached_property
    def evaluation(self) -> RunEvaluation:
        """``evaluation.json``; ``accuracy``, ``accuracy_ci95`` and ``loss`` are the test's.

        They are None if the test set is still sealed.

        Raises:
            RunError: The run did not get that far, or the file is damaged.
        """
        if not self._has(folder.EVALUATION):
            raise RunError(f"{self.path}: has no evaluation; the run ended before it ({self.status}).")
        return self._read(folder.EVALUATION, content.read_evaluation)

    @cached_property
    def verdict(self) -> Verdict:
        """How the training went; judged here if ``evaluation.json`` has only the verdict's name.

        Raises:
            RunError: The run did not get that far, or a file is damaged.
        """
        evaluation = self.evaluation
        whole = self._read(folder.EVALUATION, lambda _: evaluation.overfitting.whole())
        return whole or judge_run(
            self.epoch_rows,
            {name: (part.accuracy, part.n) for name, part in evaluation.parts.items()},
            classes=len(self.data.class_names),
            recipe=self.config,
        )

    def check(self) -> None:
        """Reads what pages and commands use of a run in its present state, except model and predictions.

        Raises:
            RunError: A file is damaged, or one of a finished run is missing.
        """
        _ = self.config, self.epoch_rows
        if self.status == "done":
            _ = self.data, self.verdict

    @property
    def status(self) -> str:
        """``done``, ``interrupted`` (the model so far is kept) or ``unfinished``."""
        if self._has(folder.EVALUATION):
            return "done"
        return "interrupted" if self._has(folder.MODEL) else "unfinished"

    @cached_property
    @restores_process
    def model(self) -> keras.Sequential:
        """The trained ``keras.Sequential``: raw uint8 pixels in, probabilities out.

        For two classes its output is (n, 1), the probability of the second; ``predict`` gives (n, 2).
        """
        keras = import_keras()

        def load(path: Path) -> Any:
            checked_network(path.read_bytes(), folder.MODEL_CARD, own_classes(self.config.model, self.path))
            with quiet_stderr(), warnings.catch_warnings():
                # Saved on JAX, the file asks for XLA, which TensorFlow does not offer with deterministic kernels.
                warnings.filterwarnings("ignore", "Model doesn't support `jit_compile=True`")
                return keras.models.load_model(path, safe_mode=True)

        model, card = self._read(folder.MODEL, load), self._card
        shapes = (tuple(model.input_shape), tuple(model.output_shape))
        classes = len(card.class_names)
        # Two classes have one output, or in a network that a user has built two.
        widths = {1, 2} if classes == 2 and self.config.model.own else {1 if classes == 2 else classes}
        if shapes[0] != (None, *card.decoding.shape) or shapes[1] not in {(None, width) for width in widths}:
            expected = (None, *card.decoding.shape), (None, *widths)
            mismatch = f"its network is from {shapes[0]} to {shapes[1]}, its card from {expected[0]} to {expected[1]}"
            raise trouble_with(self.path / folder.MODEL, ValueError(mismatch))
        return model

    @cached_property
    def class_names(self) -> list[str]:
        """The classes, in the order of the probabilities."""
        return list(self._card.class_names)

    @cached_property
    def rule(self) -> DecodingRule:
        """How pictures are decoded for this model."""
        return self._card.decoding

    @property
    def temperature(self) -> float:
        """What the logits were divided by (``evaluation.calibrate``); 1 if nothing was."""
        return self._card.temperature

    @property
    def decision(self) -> Decision | None:
        """The threshold between two classes (``Run.set_threshold``); None for the most likely class."""
        return self._card.decision

    @cached_property
    def _card(self) -> ModelCard:
        def read(path: Path) -> ModelCard:
            card = folder.read_model_card(path)
            version = card.get("version", 1)
            if isinstance(version, int) and version > folder.CARD_VERSION:
                raise RunFileError(
                    f"{path}: a newer version of conviction wrote its model card. Update conviction.", "newer"
                )
            return content.validated(card, ModelCard, path)

        return self._read(folder.MODEL, read)

    def predict(self, images: Pictures) -> ArrayPredictions:
        """Classifies pictures given as numbers or by Pillow.

        Args:
            images: (n, h, w, channels) with 1, 3 or 4 channels; (n, h, w) if the model takes gray pictures; one picture
                of exactly the model's shape, which gives one answer; a Pillow picture, which is decoded as its file is;
                or a sequence of single pictures of any sizes. uint8 is 0-255, uint16 0-65535, bool black and white,
                floats 0-1, unless the training data had its own scale.

        Raises:
            RequestError: Values outside that scale, or a shape that is not a picture or is ambiguous.
        """
        return self.predict_pixels(pixels_to_predict(images, self.rule))

    @restores_process
    def predict_pixels(self, pixels: np.ndarray) -> ArrayPredictions:
        """Classifies images decoded by ``rule``, (n, height, width, channels) uint8.

        Raises:
            RequestError: They have another shape or type.
        """
        check_decoded(pixels, self.rule)
        probabilities = predict_probabilities(self.model, pixels, views=self.config.evaluation.views)
        return ArrayPredictions.of(probabilities, self.class_names, decision=self.decision)

    def _has(self, name: str) -> bool:
        return os.path.lexists(self.path / name)  # a link counts, and is refused when it is read

    def _read(self, name: str, reader: Callable[[Path], T]) -> T:
        if not self._has(name):
            if name == folder.DATA and self.status == "unfinished":
                _ = self.config  # which would be used to begin again
                raise RunFileError(
                    f"{self.path}: the run ended before it had begun: it has no {name}, so nothing was trained. Begin "
                    f"again with: conviction fit SOURCE --config {typed(self.path / folder.CONFIG)}, and then remove "
                    "this folder.",
                    "not begun",
                )
            raise RunFileError(f"{self.path}: the run folder has no {name} ({self.status}).", "missing")
        return read_run_file(self.path / name, reader)


RunLike: TypeAlias = "str | os.PathLike[str] | RunFolder"


def open_run(run: RunLike) -> RunFolder:
    """Opens a run folder.

    Args:
        run: Its path, or a run that has been opened.

    Raises:
        RunError: There is no such folder, it is not a run folder, or it has a link where a run has a file or folder.
        RequestError: It is something else.
    """
    path = run_path(run)
    if not path.is_dir():
        raise RunError(f"{path}: there is no such run folder. 'conviction runs' lists those in ./runs.")
    try:
        config = path / folder.CONFIG
        has_config = config.exists() or config.is_symlink()
    except PermissionError as failure:
        raise trouble_with(path / folder.CONFIG, failure) from None
    if not has_config:
        raise RunError(f"{path}: not a run folder; it has no {folder.CONFIG}.")
    refuse_links(path)
    return RunFolder(path)


def run_path(run: RunLike) -> Path:
    """The folder of a run.

    Raises:
        RequestError: It is neither a run nor a path.
    """
    if isinstance(run, RunFolder):
        return run.path
    if isinstance(run, str | os.PathLike):
        return Path(run).expanduser()
    raise RequestError(f"run: expected a run, or the path of its folder; got {shown(run)}.")


def run_paths(runs: Sequence[RunLike | Sequence[RunLike]]) -> list[Path]:
    """The folders of runs that were given one by one, or as one list.

    Raises:
        RequestError: One is neither a run nor a path.
    """
    if len(runs) == 1 and isinstance(runs[0], list | tuple):
        runs = runs[0]
    return [run_path(run) for run in runs]  # type: ignore[arg-type]  # one that is a list is refused there


def list_runs(root: Path) -> list[RunFolder]:
    """The run folders directly below ``root``, oldest first."""
    if not root.is_dir():
        return []
    configs = sorted(root.glob(f"*/{folder.CONFIG}"), key=lambda p: (p.lstat().st_mtime_ns, p))
    return [RunFolder(p.parent) for p in configs]


def _history(path: Path) -> list[EpochRow]:
    text = read_bounded(path, MOST_HISTORY).decode("utf-8")
    rows = [
        EpochRow(int(row.pop("epoch")), **{k: float(v) for k, v in row.items()})
        for row in csv.DictReader(io.StringIO(text, newline=""))
    ]
    if [row.epoch for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError("its epochs are not counted from 1")
    for row in rows:
        # A validation loss may be infinite, and that is not what ends a training.
        if not all(map(math.isfinite, (row.loss, row.accuracy, row.val_accuracy, row.learning_rate))):
            raise ValueError(f"a number of epoch {row.epoch} is not finite")
    return rows
