"""Trained networks as files: written, compared with the run, opened, used to predict."""

from __future__ import annotations

import lazy_loader

# ``__init__.pyi`` lists what the package exports and where each name comes from.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
