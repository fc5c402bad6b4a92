"""conviction: from labelled images to a tested convolutional network, with evidence for every number.

>>> import conviction
>>> run = conviction.fit("digits", {"training.epochs": 1}, out=tmp / "run")
>>> 0.0 <= run.evaluation.accuracy <= 1.0
True
"""

from __future__ import annotations

import lazy_loader

from conviction.version import __version__ as __version__

# ``__init__.pyi`` lists what the package exports and where each name comes from.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
