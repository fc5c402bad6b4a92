"""What a person sees of a run: plain data of each step first, then the terminal and the page."""

from __future__ import annotations

import lazy_loader

# ``__init__.pyi`` lists what the package exports and where each name comes from.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
