"""Opening whatever can predict: a run folder, or an artefact of any format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from conviction.artefacts.apart import open_apart, try_apart
from conviction.artefacts.artefact import Artefact
from conviction.artefacts.formats import FORMATS, Format
from conviction.errors import ArtefactError, SourceNotFoundError
from conviction.process import restores_process

if TYPE_CHECKING:
    from conviction.runs import RunFolder


@restores_process
def load(path: str | Path, *, threads: int | None = None) -> RunFolder | Artefact:
    """Opens a run folder, or an artefact of ``conviction export``, to predict with.

    A file is opened in a process of its own first, with limits, because it may come from anyone. SavedModel and Keras
    files stay there, on the CPU; TensorFlow is imported here for a run alone, when it first predicts.

    Args:
        path: A run folder, a SavedModel folder, or an ``.onnx``, ``.tflite`` or ``.keras`` file.
        threads: For ONNX and LiteRT; None for one per core.

    Raises:
        SourceNotFoundError: There is nothing there.
        ArtefactError: It is damaged, of another kind, or holds what a network does not need.
        RequestError: A package that is an extra is missing.
    """
    path = Path(path)
    if not path.exists():
        raise SourceNotFoundError(f"{path}: there is no such run folder or exported model.")
    if path.is_dir():
        from conviction.runs import folder, open_run

        if (path / folder.CONFIG).is_file():
            return open_run(path)
        if (path / "saved_model.pb").is_file():
            return _opened(FORMATS["saved_model"], path, threads)
        raise ArtefactError(f"{path}: expected a run folder or a SavedModel; it has neither's files.")
    for form in FORMATS.values():
        if form.suffix and path.suffix.lower() == form.suffix:
            return _opened(form, path, threads)
    expected = ", ".join(f.suffix for f in FORMATS.values() if f.suffix)
    raise ArtefactError(
        f"{path}: expected a run folder, a SavedModel folder, or a file ending in {expected}."
    )


def _opened(form: Format, path: Path, threads: int | None) -> Artefact:
    if form.answers_apart:
        return open_apart(form.name, path)
    try_apart(form.name, path)
    return form.read(path, threads)
