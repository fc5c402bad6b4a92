"""The helper process answers what ``Inspector`` asks, and keeps the networks of the last questions."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from conviction.errors import ConvictionError
from conviction.web.inside.seeing import ModelViewer


def answer(data_dir: Path | None, name: str, arguments: dict[str, Any]) -> Any:
    """Calls the method of this name, which is one of the questions of ``ModelViewer``.

    Raises:
        RequestError: See the question.
        ConvictionError: It has failed otherwise.
    """
    try:
        return getattr(_viewer(data_dir), name)(**arguments)
    except ConvictionError:
        raise
    except Exception as failure:
        raise ConvictionError(f"Looking inside failed: {type(failure).__name__}: {failure}") from failure


@cache
def _viewer(data_dir: Path | None) -> ModelViewer:
    return ModelViewer(data_dir)
