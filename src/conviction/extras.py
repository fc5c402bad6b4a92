"""Packages that do not come with every installation, and what installs them."""

from __future__ import annotations

import importlib
from typing import Any

from conviction.errors import RequestError

# By the module that is imported: what people call it, and the extra that brings it.
EXTRAS = {
    "fsrs": ("fsrs", "tensorflow"),
    "h5py": ("h5py", "tensorflow"),
    "joblib": ("joblib", "tensorflow"),
    "keras": ("Keras", "tensorflow"),
    "matplotlib": ("Matplotlib", "tensorflow"),
    "pandas": ("pandas", "tensorflow"),
    "scipy": ("SciPy", "tensorflow"),
    "sklearn": ("scikit-learn", "tensorflow"),
    "tensorflow": ("TensorFlow", "tensorflow"),
    "jax": ("JAX", "jax"),
    "ai_edge_litert": ("LiteRT", "export"),
    "tf2onnx": ("tf2onnx", "export"),
    "nicegui": ("NiceGUI", "lab"),
    "markdown_it": ("markdown-it-py", "lab"),
    "nbclient": ("nbclient", "notebook"),
    "nbformat": ("nbformat", "notebook"),
    "optuna": ("Optuna", "tune"),
    "pyarrow": ("PyArrow", "parquet"),
    "ray": ("Ray", "ray"),
    "fsspec": ("fsspec", "ray"),
}


class MissingPackageError(RequestError):
    """A package that is not installed is needed; the message says what installs it."""


def needed(module: str, what: str) -> Any:
    """Imports a module that an extra brings.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as failure:
        missing = missing_package(failure, what)
        if missing is None:
            raise
        raise missing from None


def missing_package(failure: ModuleNotFoundError, what: str = "") -> MissingPackageError | None:
    """The error that says what to install; None for a module that no extra brings, which is a fault of ours.

    Args:
        failure: Of an import.
        what: What needs it, at the beginning of the message.

    >>> print(missing_package(ModuleNotFoundError("No module named 'sklearn'", name="sklearn"), "fit"))
    fit: needs scikit-learn: pip install 'conviction[tensorflow]'
    """
    package = EXTRAS.get((failure.name or "").partition(".")[0])
    if package is None:
        return None
    name, extra = package
    return MissingPackageError(f"{what or 'this'}: needs {name}: pip install 'conviction[{extra}]'")
