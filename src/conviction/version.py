"""The version of the package, which every room may show."""

__version__ = "0.1.0"
