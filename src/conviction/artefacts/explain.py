"""The explanation of a run's answer to a picture file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conviction.data.decode import UnreadableImageError, decode
from conviction.errors import RequestError, SourceNotFoundError
from conviction.explanation import Explanation, explain_picture
from conviction.runs import RunFolder


def explain_file(
    run: RunFolder,
    file: Path,
    *,
    class_name: str | None = None,
    layer: str | None = None,
    position: Sequence[int] | None = None,
) -> Explanation:
    """Decodes a picture by the run's rule, classifies it, and explains the answer.

    Args:
        run: With a trained model.
        file: A picture.
        class_name: The class to explain; by default the likeliest.
        layer: With ``position``: the value whose numbers to show.
        position: (row, column, channel) or (unit,), from 0.

    Raises:
        SourceNotFoundError: There is no such file.
        RequestError: The file cannot be read as a picture; or as ``explain_picture``.
    """
    if not file.exists():
        raise SourceNotFoundError(f"{file}: there is no such file.")
    try:
        pixels = decode(file.read_bytes(), run.rule)
    except UnreadableImageError as failure:
        raise RequestError(f"{file}: cannot be read as a picture: {failure}.") from None
    except OSError as failure:
        raise RequestError(f"{file}: cannot be read ({failure.strerror or failure}).") from None
    return explain_picture(
        run.model, pixels, run.class_names, class_name=class_name, layer=layer, position=position
    )
