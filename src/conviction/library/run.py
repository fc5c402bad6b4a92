"""A run as Python users hold it: what it answered as tables and figures, and every verb that works on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from conviction.artefacts.explain import explain
from conviction.config.recipe import Overrides
from conviction.data import ImageSet
from conviction.data.decision import Decision
from conviction.data.in_memory import Source
from conviction.data.prediction_images import ArrayPredictions
from conviction.evaluation import Evaluation
from conviction.evaluation.paired import Comparison
from conviction.explanation import Explanation
from conviction.flow.again import load_again
from conviction.flow.compare import compare
from conviction.flow.evaluate import evaluate
from conviction.flow.evaluate_new import NewImages, evaluate_new
from conviction.flow.export import Exported, export
from conviction.flow.moved import set_source
from conviction.flow.report import report
from conviction.flow.resume import resume
from conviction.flow.threshold import set_threshold
from conviction.library import plots
from conviction.library.cards import run_card
from conviction.library.files import predict_files
from conviction.library.run_tables import RunTables
from conviction.runs import RunLike, label_issues, open_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(RunTables):
    """A run folder, with all that can be done with it.

    Every part is read when it is asked for, and a damaged part is an error then. The verbs do what the functions of the
    same name do, and take the same arguments.

    >>> import conviction
    >>> run = conviction.fit("digits", {"training.epochs": 1}, out=tmp / "verbs", show=None)
    >>> run.status
    'done'
    >>> run.history.columns.tolist()
    ['loss', 'accuracy', 'val_loss', 'val_accuracy', 'learning_rate']
    """

    def set_threshold(
        self, threshold: float | Literal["auto"] | None, class_name: str | None = None
    ) -> Decision | None:
        """Says from which probability on pictures are of a class, for a network of two classes.

        ``predict``, ``serve`` and artefacts that are exported afterwards answer by it. Probabilities, tables and the
        report stay those of the most likely class.

        Args:
            threshold: In (0, 1); "auto" for where the balanced accuracy on the validation images is highest; None for
                the most likely class again.
            class_name: The class that ``threshold`` is about; default the second one.

        Raises:
            RequestError: It has more than two classes; there is no such class; the threshold is out of range.
        """
        decision = set_threshold(self, threshold, class_name)
        self._forget()
        return decision

    def images(self, data_dir: str | Path | None = None) -> ImageSet:
        """The images that it was made with, decoded again from their source.

        Raises:
            RequestError: The source has changed or is gone.
        """
        return load_again(self, data_dir)

    def set_source(self, source: Source, data_dir: str | Path | None = None) -> None:
        """Says where its images are now; it remembers that, once they have been found to be the same.

        Args:
            source: As for ``fit``.
            data_dir: As for ``fit``.

        Raises:
            RequestError: There are no images, or not those that it was made with; nothing is changed.
        """
        set_source(self, source, data_dir)
        self._forget()

    def predict(self, images: Any) -> ArrayPredictions:
        """Classifies pictures: arrays, what Pillow has opened, or paths of files, folders and archives.

        Args:
            images: As for ``RunFolder.predict``; or a path, or a list of paths.

        Raises:
            RequestError: They cannot be read as pictures.
            SourceNotFoundError: A path does not exist.
        """
        one = isinstance(images, str | os.PathLike)
        if one or (isinstance(images, list | tuple) and images and isinstance(images[0], str | os.PathLike)):
            return predict_files(self, [images] if one else images)
        return super().predict(images)

    def evaluate(self, source: Any = None, **arguments: Any) -> Evaluation | NewImages:
        """Opens the sealed test set; or, with a source, evaluates it on other images. See ``conviction.evaluate``."""
        done = evaluate(self, **arguments) if source is None else evaluate_new(self, source, **arguments)
        self._forget()
        return done

    def explain(
        self,
        image: Any,
        *,
        class_name: str | None = None,
        layer: str | None = None,
        position: Sequence[int] | None = None,
    ) -> Explanation:
        """Why it gives its answer to a picture. See ``conviction.explain``."""
        return explain(self, image, class_name=class_name, layer=layer, position=position)

    def compare(self, *others: RunLike | Sequence[RunLike]) -> Comparison:
        """Compares others with it, on the same images. See ``conviction.compare``."""
        flat = others[0] if len(others) == 1 and isinstance(others[0], list | tuple) else others
        return compare([self, *flat])

    def export(self, formats: str | Sequence[str] = ("onnx",), **arguments: Any) -> list[Exported]:
        """Exports it, each artefact compared with it. See ``conviction.export``."""
        return export(self, formats, **arguments)

    def resume(self, overrides: Overrides = (), **arguments: Any) -> Run:
        """Goes on training where it was stopped, or for more epochs. See ``conviction.resume``."""
        resumed = resume(self, overrides, **arguments)
        self._forget()
        return Run(resumed.path)

    def report(self, **arguments: Any) -> Path:
        """Writes ``report.html`` again, and returns where it is. See ``conviction.report``."""
        return report(self, **arguments)[0]

    def plot_curves(self) -> Figure:
        """Loss and accuracy over the epochs, training and validation."""
        return plots.curves(self)

    def plot_confusion(self) -> Figure:
        """The confusion matrix."""
        return plots.confusion(self)

    def plot_reliability(self) -> Figure:
        """How often it is right at each level of confidence."""
        return plots.reliability(self)

    def plot_mistakes(self, most: int = 12, data_dir: str | Path | None = None) -> Figure:
        """The pictures that it gets wrong, with what they are and what it called them, the surest first.

        Args:
            most: How many are shown.
            data_dir: As for ``fit``.
        """
        return plots.mistakes(self, most, data_dir)

    def _forget(self) -> None:
        """What has been read may have changed on disk."""
        for name in [n for n in vars(self) if n != "path"]:
            vars(self).pop(name)

    def __repr__(self) -> str:
        accuracy = ""
        if self.status == "done":
            part = label_issues.part_to_show(self)
            accuracy = f", {part} accuracy {self.evaluation.parts[part].accuracy:.2%}"
        return f"Run({str(self.path)!r}, {self.status}{accuracy})"

    def _repr_html_(self) -> str:
        return run_card(self)


def load_run(run: RunLike) -> Run:
    """Opens a run folder; raises as ``open_run``."""
    return Run(open_run(run).path)
