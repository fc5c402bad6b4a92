"""The classes with a user's code that a network needs, as this process has them."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Collection
from pathlib import Path

from conviction.backend import import_keras
from conviction.config import ModelSpec
from conviction.errors import RequestError, listed_names


def write_classes(needs: Collection[str], file: Path) -> None:
    """Writes registered classes with their code, for another process of ours that reads the file at once.

    Args:
        needs: The names under which they are registered.
        file: Where to.
    """
    import cloudpickle

    known = import_keras().saving.get_custom_objects()
    classes = {name: known[name] for name in needs}
    # By value, because the other process may not find the module, which may be a notebook.
    modules = {sys.modules[cls.__module__] for cls in classes.values() if cls.__module__ != "__main__"}
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        file.write_bytes(cloudpickle.dumps(classes))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def read_classes(file: Path) -> None:
    """Registers what ``write_classes`` has written; for a file that this program has just made, and for no other."""
    import_keras().saving.get_custom_objects().update(pickle.loads(file.read_bytes()))


def own_classes(spec: ModelSpec, where: Path) -> tuple[str, ...] | None:
    """What ``checked_network`` takes: None for a network of ours.

    Raises:
        RequestError: One of the classes is not registered in this process.
    """
    if spec.own is None:
        return None
    known = import_keras().saving.get_custom_objects()
    missing = [name for name in spec.own.needs if name not in known]
    if missing:
        raise RequestError(
            f"{where}: its network has classes of its user ({listed_names(missing)}), which this process does not "
            "know. "
            "In Python, import the module that defines them first; for other programs, export the run as ONNX there."
        )
    return spec.own.needs
