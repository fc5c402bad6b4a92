"""conviction: from labelled images to a tested convolutional network, with evidence for every number.

>>> import conviction
>>> run = conviction.fit("digits", {"training.epochs": 1}, out=tmp / "run")
>>> 0.0 <= run.evaluation.accuracy <= 1.0
True
"""

# What is imported here for its own use has an underscore: editors offer all other names.
import lazy_loader as _lazy_loader

from conviction.extras import missing_package as _missing_package
from conviction.version import __version__ as __version__

# ``__init__.pyi`` lists what the package exports and where each name comes from.
_lazy, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    try:
        return _lazy(name)
    except ModuleNotFoundError as failure:
        missing = _missing_package(failure, f"conviction.{name}")
        if missing is None:
            raise
        raise missing from None
