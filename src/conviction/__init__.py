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
    from conviction.data import load_source
    from conviction.deploy import load
    from conviction.errors import ConvictionError
    from conviction.experiments.commands import explore, tune
    from conviction.exports import export
    from conviction.flow import compare, evaluate, evaluate_new, fit, resume, summary
    from conviction.inspection import inspect
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
    "explore": "conviction.experiments.commands",
    "export": "conviction.exports",
    "fit": "conviction.flow",
    "inspect": "conviction.inspection",
    "load": "conviction.deploy",
    "load_run": "conviction.runs",
    "load_source": "conviction.data",
    "resume": "conviction.flow",
    "summary": "conviction.flow",
    "tune": "conviction.experiments.commands",
}


# `import conviction` and `conviction --help` do not wait for NumPy and pydantic.
__getattr__ = late(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted(__all__)
