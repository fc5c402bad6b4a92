"""SOURCE, as users type it, to an ``ImageSet``."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conviction.config import DataSpec
from conviction.config.text import shortened
from conviction.data.arrays import load_arrays
from conviction.data.cache import IN_MEMORY, cache_root
from conviction.data.depth import is_deep
from conviction.data.folder import load_folder
from conviction.data.idx import find_idx, read_idx_folder
from conviction.data.image_set import ImageSet, Relabelled
from conviction.data.in_memory import Source, source_path
from conviction.data.named import NAMED_SETS, load_named
from conviction.data.npz import read_npz
from conviction.data.parquet import load_parquet
from conviction.data.relabel import relabel, relabelled
from conviction.data.rule import DecodingRule
from conviction.data.table import load_csv
from conviction.data.tree import is_archive, open_tree
from conviction.errors import RequestError, SourceError, SourceNotFoundError, did_you_mean
from conviction.process import restores_process


@restores_process
def load_source(
    source: Source,
    spec: DataSpec | None = None,
    data_dir: str | Path | None = None,
    *,
    least_classes: int = 2,
    rule: DecodingRule | None = None,
    changes: Relabelled | None = None,
) -> ImageSet:
    """Loads and decodes a source.

    Args:
        source: A named set, such as ``digits`` (``NAMED_SETS``); a path of one of ``SOURCE_KINDS``, such as an image
            folder; or what is in memory, see ``in_memory.EXPECTED``.
        spec: How to decode; the defaults take everything from the data.
        data_dir: Where to look for named sets first.
        least_classes: How many there must be; for training, two.
        rule: By which a run decoded its images; then size, mode and ``relabel`` of ``spec`` do not count.
        changes: The labels that a run has changed.

    Raises:
        SourceNotFoundError: There is no such source.
        SourceError: Its images or labels cannot be used as they are.
        RequestError: A key of ``spec`` has no effect on this source.
    """
    source = source_path(source)
    spec = spec or DataSpec()
    if str(source) in NAMED_SETS:
        images = load_named(str(source), spec, data_dir, rule)
    else:
        images = _load_path(Path(source).expanduser(), spec, rule)
    if rule is None:
        refuse_unused(spec, images)
        images = relabel(images, spec.relabel) if spec.relabel is not None else images
    elif changes is not None:
        images = relabelled(images, changes)
    return _checked(images, least_classes)


def _load_path(path: Path, spec: DataSpec, rule: DecodingRule | None) -> ImageSet:
    try:
        return _load_existing(path, spec, rule)
    except PermissionError as failure:
        raise SourceError(f"{failure.filename or path}: no permission to read it.") from None
    except OSError as failure:
        if failure.errno != errno.ENAMETOOLONG:
            raise
        raise SourceNotFoundError(
            f"'{shortened(str(path))}' is longer than the name of a source can be."
        ) from None


def _load_existing(path: Path, spec: DataSpec, rule: DecodingRule | None) -> ImageSet:
    if not path.exists() and path.parent == cache_root() / IN_MEMORY:
        raise SourceNotFoundError(
            f"{path}: the images that were given in Python have been removed from the cache. Give the same ones once "
            "more, for example to conviction.inspect, and they are there again."
        )
    if not path.exists():
        raise SourceNotFoundError(
            f"'{path}' is neither a named set ({', '.join(NAMED_SETS)}) nor an existing path."
            f"{did_you_mean(str(path), NAMED_SETS)}"
        )
    if not path.is_dir() and not path.is_file():
        raise SourceError(f"{path}: expected a folder or a file; this is a pipe or a device.")
    for kind in reversed(SOURCE_KINDS):
        if kind.accepts(path):
            return kind.load(path, spec, rule)
    first, last = [kind.words for kind in SOURCE_KINDS[:-1]], SOURCE_KINDS[-1].words
    raise SourceError(f"{path}: expected {', '.join(first)}, or {last}; got another kind of file.")


def _load_tree(path: Path, spec: DataSpec, rule: DecodingRule | None) -> ImageSet:
    with open_tree(path) as tree:
        return load_folder(tree, spec, rule)


@dataclass(frozen=True)
class SourceKind:
    """A kind of source at a path.

    Attributes:
        words: What help and messages call it, with its article.
        accepts: Whether an existing path is of this kind.
        load: (path, how to decode, the rule of a run or None) to its images, whose ``origin`` says how a program
            reads them.
    """

    words: str
    accepts: Callable[[Path], bool]
    load: Callable[[Path, DataSpec, DecodingRule | None], ImageSet]


# The last one that accepts a path loads it: a folder of IDX files is a folder too.
SOURCE_KINDS: list[SourceKind] = [
    SourceKind(
        "an image folder, a .zip or .tar of one", lambda path: path.is_dir() or is_archive(path), _load_tree
    ),
    SourceKind(
        "an .npz",
        lambda path: path.suffix.lower() == ".npz" and not path.is_dir(),
        lambda path, spec, rule: load_arrays(read_npz(path), spec, rule),
    ),
    SourceKind(
        "a .csv that lists pictures",
        lambda path: path.suffix.lower() == ".csv" and not path.is_dir(),
        load_csv,
    ),
    SourceKind(
        "a .parquet that lists or holds pictures",
        lambda path: path.suffix.lower() == ".parquet" and not path.is_dir(),
        load_parquet,
    ),
    SourceKind(
        "a folder of IDX files",
        lambda path: path.is_dir() and bool(find_idx(path)),
        lambda path, spec, rule: load_arrays(read_idx_folder(path), spec, rule),
    ),
]


def refuse_unused(spec: DataSpec, images: ImageSet) -> None:
    """Refuses a key that was changed from its default and has no effect on these images.

    Raises:
        RequestError: There is one; the message says why it has no effect.
    """
    default, where = DataSpec(), images.location
    if spec.range is not None and images.headers and not any(is_deep(h.mode) for h in images.headers):
        low, high = (f"{v:g}" for v in spec.range)
        raise RequestError(
            f"data.range=[{low},{high}] has no effect on {where}: its files have 8 bits, in which black is 0 and "
            "white is 255. Leave the key out. If the values in the files are smaller than that, save the pictures as "
            "arrays (.npz), to which the key applies."
        )
    for part, asked, usual in (
        ("test", spec.test, default.test),
        ("validation", spec.validation, default.validation),
    ):
        if asked == usual:
            continue
        count = int((images.parts == part).sum())
        if part == "validation" and spec.folds:
            reason = f"data.folds={spec.folds} already decides the validation images"
        elif count:
            reason = f"the source has its own {count:,} {part} images, which are used as they are"
        else:
            continue
        raise RequestError(f"data.{part}={asked:g} has no effect on {where}: {reason}. Leave the key out.")


def _checked(images: ImageSet, least_classes: int) -> ImageSet:
    if len(images.class_names) < least_classes:
        only = images.class_names[0] if images.class_names else "none"
        raise SourceError(
            f"{images.location}: expected images of at least two classes; got one class, '{only}'. A classifier "
            "learns differences: add a folder of pictures that are something else."
        )
    return images
