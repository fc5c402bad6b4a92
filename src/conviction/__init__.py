"""conviction: from labelled images to a tested convolutional network, with evidence for every number.

>>> import conviction
>>> run = conviction.fit("digits", {"training.epochs": 1}, out=tmp / "run")
>>> 0.0 <= run.evaluation.accuracy <= 1.0
True
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from conviction.extras import missing_package
from conviction.version import __version__ as __version__

# ``__init__.pyi`` lists what the package exports and where each name comes from.
_lazy, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    try:
        return _lazy(name)
    except ModuleNotFoundError as failure:
        missing = missing_package(failure, f"conviction.{name}")
        if missing is None:
            raise
        raise missing from None
