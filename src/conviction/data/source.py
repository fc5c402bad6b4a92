"""SOURCE, as users type it, to an ``ImageSet``."""

from __future__ import annotations

from pathlib import Path

from conviction.backend import process_restored
from conviction.config import DataSpec
from conviction.data.arrays import load_arrays
from conviction.data.folder import load_folder
from conviction.data.idx import find_idx, read_idx_folder
from conviction.data.image_set import ImageSet
from conviction.data.named import NAMED_SETS, load_named
from conviction.data.npz import read_npz
from conviction.data.tree import is_archive, open_tree
from conviction.errors import SourceError, SourceNotFoundError, did_you_mean


@process_restored()
def load_source(
    source: str | Path,
    spec: DataSpec | None = None,
    data_dir: str | Path | None = None,
    *,
    least_classes: int = 2,
) -> ImageSet:
    """Loads and decodes a source.

    Args:
        source: ``digits``, ``fashion_mnist``, ``mnist``, ``cifar10``, ``cifar100``; or the path of an image
            folder, a ``.zip`` or ``.tar`` of one, an ``.npz``, or a folder of IDX files.
        spec: How to decode; the defaults take everything from the data.
        data_dir: Where named sets are looked for first.
        least_classes: How many there have to be; to learn from, two.

    Raises:
        SourceNotFoundError: There is no such source.
        SourceError: Its images or labels cannot be used as they are.
    """
    spec = spec or DataSpec()
    if str(source) in NAMED_SETS:
        return _checked(load_named(str(source), spec, data_dir), least_classes)
    path = Path(source).expanduser()
    try:
        return _checked(_load_path(path, spec), least_classes)
    except PermissionError as failure:
        raise SourceError(f"{failure.filename or path}: no permission to read it.") from None


def _load_path(path: Path, spec: DataSpec) -> ImageSet:
    if path.is_dir():
        if find_idx(path):
            return load_arrays(read_idx_folder(path), spec)
    elif not path.exists():
        raise SourceNotFoundError(
            f"'{path}' is neither a named set ({', '.join(NAMED_SETS)}) nor an existing path."
            f"{did_you_mean(str(path), NAMED_SETS)}"
        )
    elif path.suffix.lower() == ".npz":
        return load_arrays(read_npz(path), spec)
    elif not is_archive(path):
        raise SourceError(
            f"{path}: expected an image folder, a .zip or .tar of one, an .npz, or a folder of IDX files; "
            "got another kind of file."
        )
    with open_tree(path) as tree:
        return load_folder(tree, spec)


def _checked(images: ImageSet, least_classes: int) -> ImageSet:
    if len(images.class_names) < least_classes:
        only = images.class_names[0] if images.class_names else "none"
        raise SourceError(
            f"{images.location}: expected images of at least two classes; got one class, '{only}'. A classifier "
            "learns differences: add a folder of pictures that are something else."
        )
    return images
