"""conviction: from labelled images to a tested convolutional network, with evidence for every number.

>>> import conviction
>>> run = conviction.fit("digits", {"training.epochs": 1}, out=tmp / "run")
>>> 0.0 <= run.evaluation.accuracy <= 1.0
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.late import late

if TYPE_CHECKING:
    from conviction.artefacts import load
    from conviction.data import load_source
    from conviction.errors import ConvictionError
    from conviction.experiments.explore import explore, tune
    from conviction.flow import compare, evaluate, evaluate_new, fit, resume, summary
    from conviction.flow.inspect import inspect
    from conviction.programs import export
    from conviction.runs import Run, load_run

__version__ = "0.1.0"
__all__ = [
    "ConvictionError",
    "Run",
    "__version__",
    "compare",
    "evaluate",
    "evaluate_new",
    "explore",
    "export",
    "fit",
    "inspect",
    "load",
    "load_run",
    "load_source",
    "resume",
    "summary",
    "tune",
]

_PLACES = {
    "ConvictionError": "conviction.errors",
    "Run": "conviction.runs",
    "compare": "conviction.flow",
    "evaluate": "conviction.flow",
    "evaluate_new": "conviction.flow",
    "explore": "conviction.experiments.explore",
    "export": "conviction.programs",
    "fit": "conviction.flow",
    "inspect": "conviction.flow.inspect",
    "load": "conviction.artefacts",
    "load_run": "conviction.runs",
    "load_source": "conviction.data",
    "resume": "conviction.flow",
    "summary": "conviction.flow",
    "tune": "conviction.experiments.explore",
}


# `import conviction` and `conviction --help` do not wait for NumPy and pydantic.
__getattr__ = late(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted(__all__)
