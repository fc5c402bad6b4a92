"""Trained networks as files: written, compared with the run, opened, asked."""

from __future__ import annotations

import lazy_loader

# What the package gives out, and where it is from, stands in ``__init__.pyi``.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
