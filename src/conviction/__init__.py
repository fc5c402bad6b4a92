"""conviction: from labelled images to a tested convolutional network, with evidence for every number.

>>> import conviction
>>> run = conviction.fit("digits", {"training.epochs": 1}, out=tmp / "run")
>>> 0.0 <= run.evaluation.accuracy <= 1.0
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conviction.data import load_source
    from conviction.errors import ConvictionError
    from conviction.flow import fit, resume, summary
    from conviction.inspection import inspect
    from conviction.runs import Run, load_run

__version__ = "0.1.0"
__all__ = [
    "ConvictionError",
    "Run",
    "__version__",
    "fit",
    "inspect",
    "load_run",
    "load_source",
    "resume",
    "summary",
]

_PLACES = {
    "ConvictionError": "conviction.errors",
    "Run": "conviction.runs",
    "fit": "conviction.flow",
    "inspect": "conviction.inspection",
    "load_run": "conviction.runs",
    "load_source": "conviction.data",
    "resume": "conviction.flow",
    "summary": "conviction.flow",
}


def __getattr__(name: str) -> Any:
    # Late, so that `import conviction` and `conviction --help` do not wait for NumPy and pydantic.
    if name not in _PLACES:
        raise AttributeError(f"module 'conviction' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
