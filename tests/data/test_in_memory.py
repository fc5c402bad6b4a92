"""What people hold in memory is the same data as the same pictures in a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet as pq

import conviction
from conviction.config import DataSpec
from conviction.data import load_source, split_images
from conviction.data.in_memory import EXPECTED, source_path
from conviction.errors import RequestError, SourceError, SourceNotFoundError, StorageError
from tests.conftest import Cli
from tests.data import builders

X, Y = builders.arrays()
NAMES = [builders.CLASSES[label] for label in Y]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVICTION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def parquet(tmp: Path, **values: Any) -> Path:
    """Contents of files as Hugging Face publishes them, with numbers for classes and their names in the metadata."""
    files = builders.files()
    columns = {
        "image": [{"bytes": content, "path": path} for path, content in files.items()],
        "label": [builders.CLASSES.index(path.split("/")[0]) for path in files],
        **values,
    }
    about = {"info": {"features": {"label": {"names": list(builders.CLASSES), "_type": "ClassLabel"}}}}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, tmp / "train.parquet")
    return tmp / "train.parquet"


def parquet_of_bytes(tmp: Path) -> Path:
    files = builders.files()
    table = pa.table({"image": list(files.values()), "label": [path.split("/")[0] for path in files]})
    pq.write_table(table, tmp / "bytes.parquet")
    return tmp / "bytes.parquet"


def paths(tmp: Path) -> list[tuple[Path, str]]:
    root = builders.folder(tmp)
    return [(root / path, path.split("/")[0]) for path in builders.files()]


def mapped(tmp: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    np.save(tmp / "x.npy", X)
    return np.load(tmp / "x.npy", mmap_mode="r"), Y, builders.CLASSES


def tensorflow(tmp: Path, change: Callable[[Any], Any] = lambda dataset: dataset) -> Any:
    import tensorflow as tf

    dataset = change(tf.data.Dataset.from_tensor_slices((X, Y)))
    dataset.class_names = list(builders.CLASSES)  # as image_dataset_from_directory does
    return dataset


def keras_loader(tmp: Path) -> Any:
    import keras

    return keras.utils.image_dataset_from_directory(
        builders.folder(tmp), image_size=(builders.SIZE, builders.SIZE), batch_size=7, seed=1
    )


def py_dataset(tmp: Path) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> tuple[np.ndarray, list[str]]:
            rows = slice(4 * index, 4 * index + 4)
            return X[rows].astype("float32"), NAMES[rows]

    return Batches()


class TorchLike:
    """What a map-style dataset of PyTorch is, without installing it: a length, items, classes, and where it is from."""

    classes = builders.CLASSES

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return Tensor(X[index].transpose(2, 0, 1) / 255), int(Y[index])


class Tensor:
    """A tensor of PyTorch as ToTensor makes it: (c, h, w), from 0 to 1."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array.astype(np.float32)

    def numpy(self) -> np.ndarray:
        return self._array

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self._array


TorchLike.__module__ = Tensor.__module__ = "torch.utils.data"


def hugging_face(labels: Sequence[int] = tuple(Y.tolist())) -> datasets.Dataset:
    columns = {"image": [Image.fromarray(x) for x in X], "label": labels}
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=builders.CLASSES)}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


# Everything that a verb takes as its source, of the same 24 pictures.
SOURCES: dict[str, Callable[[Path], Any]] = {
    "path": builders.folder,
    "text of a path": lambda tmp: str(builders.folder(tmp)),
    "arrays": lambda tmp: (X, Y, builders.CLASSES),
    "arrays and texts": lambda tmp: (X, NAMES),
    "arrays in the order of Fortran": lambda tmp: (np.asfortranarray(X), Y, list(builders.CLASSES)),
    "arrays mapped from a file": mapped,
    "mapping of arrays": lambda tmp: {"x": X, "y": Y, "class_names": builders.CLASSES},
    "paths": paths,
    "texts of paths": lambda tmp: [(str(path), label) for path, label in paths(tmp)],
    "pictures as arrays": lambda tmp: list(zip(X, NAMES, strict=True)),
    "PIL images": lambda tmp: [(Image.fromarray(x), label) for x, label in zip(X, NAMES, strict=True)],
    "contents of files": lambda tmp: [
        (content, path.split("/")[0]) for path, content in builders.files().items()
    ],
    "DataFrame of paths": lambda tmp: pd.DataFrame(paths(tmp), columns=["file", "label"]),
    "DataFrame of arrays": lambda tmp: pd.DataFrame({"image": list(X), "class": NAMES}),
    "Polars DataFrame": lambda tmp: pl.DataFrame({"file": [str(p) for p, _ in paths(tmp)], "label": NAMES}),
    "Parquet of Hugging Face": parquet,
    "Parquet of bytes": parquet_of_bytes,
    "tf.data": tensorflow,
    "tf.data in batches": lambda tmp: tensorflow(tmp, lambda dataset: dataset.batch(5)),
    "tf.data that shuffles": lambda tmp: tensorflow(tmp, lambda dataset: dataset.shuffle(24)),
    "image_dataset_from_directory": keras_loader,
    "PyDataset": py_dataset,
    "PyTorch Dataset": lambda tmp: TorchLike(),
    "Hugging Face Dataset": lambda tmp: hugging_face(),
    "Hugging Face IterableDataset": lambda tmp: hugging_face().to_iterable_dataset(),
    "ImageSet": lambda tmp: load_source(builders.folder(tmp)),
}


def content(given: Any) -> list[tuple[bytes, str]]:
    """Pixels and class of each image, in an order of their own."""
    images = load_source(given)
    return sorted(
        (p.tobytes(), images.class_names[y]) for p, y in zip(images.pixels, images.labels, strict=True)
    )


@pytest.mark.parametrize("kind", SOURCES)
def test_it_is_the_same_data_as_the_folder(kind: str, tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    assert content(SOURCES[kind](tmp_path)) == content(builders.folder(tmp_path / "reference"))


@pytest.mark.parametrize(
    "kind",
    [
        k
        for k in SOURCES
        if k not in ("path", "text of a path", "tf.data that shuffles") and "Parquet" not in k
    ],
)
def test_the_same_data_is_written_once(kind: str, tmp_path: Path, cache: Path) -> None:
    given = SOURCES[kind](tmp_path)
    first = source_path(given)
    written = first.stat().st_mtime_ns if isinstance(first, Path) else 0
    assert source_path(given) == first
    assert isinstance(first, Path)
    assert [path.name for path in (cache / "in-memory").iterdir()] == [first.name]
    if first.suffix != ".zip":  # whose name is known once it is written
        assert first.stat().st_mtime_ns == written


def test_parts_are_kept(tmp_path: Path) -> None:
    for given in (
        ((X, Y), (X[:6], Y[:6])),
        {"x_train": X, "y_train": Y, "x_test": X[:6], "y_test": Y[:6]},
        datasets.DatasetDict({"train": hugging_face(), "test": hugging_face()}),
        pd.DataFrame(
            {"image": [*X, *X[:6]], "label": [*NAMES, *NAMES[:6]], "split": ["train"] * 24 + ["test"] * 6}
        ),
    ):
        images = load_source(given)
        assert (images.parts == "test").sum() in (6, 24)
        assert (images.parts == "train").sum() == 24


def test_missing_values_of_a_frame_are_no_part_and_no_group(tmp_path: Path) -> None:
    listed = pd.DataFrame(paths(tmp_path), columns=["file", "label"])
    for missing in (None, float("nan"), pd.NA):
        frame = listed.assign(group=[missing] * 22 + ["house"] * 2, split=[missing] * 23 + ["test"])
        images = load_source(frame)
        assert images.groups is not None
        assert sorted(images.groups.tolist()) == [""] * 22 + ["house"] * 2
        assert sorted(images.parts.tolist()) == [""] * 23 + ["test"]


@pytest.mark.parametrize("form", ["Hugging Face", "Parquet", "tf.data"])
def test_a_label_that_no_name_stands_for_is_refused(form: str, tmp_path: Path) -> None:
    """Published data sets give -1 to pictures whose label they keep; as a position it would be the last class."""
    labels = [-1, *Y[1:].tolist()]
    sources: dict[str, Callable[[], Any]] = {
        "Hugging Face": lambda: hugging_face(labels),
        "Parquet": lambda: parquet(tmp_path, label=labels),
        "tf.data": lambda: tensorflow(tmp_path, lambda d: d.map(lambda x, y: (x, y - 1))),
    }
    with pytest.raises(RequestError, match="label -1 has no name; there are 3 class names"):
        load_source(sources[form]())


def test_one_hot_labels_are_classes_and_several_at_once_are_refused() -> None:
    one_hot = np.eye(3, dtype="float32")[Y]
    images = load_source([(x, y) for x, y in zip(X, one_hot, strict=True)])
    assert sorted(images.labels.tolist()) == sorted(Y.tolist())
    for wrong in ([1, 1, 0], [0, 0, 0], [0.2, 0.3, 0.5], [0, 2, 0]):
        with pytest.raises(RequestError, match="does not name one class"):
            load_source([(X[0], np.array(wrong))])


def grouped(images: Any) -> list[tuple[bytes, str]]:
    return sorted((p.tobytes(), str(g)) for p, g in zip(images.pixels, images.groups, strict=True))


def test_groups_stay_together(tmp_path: Path) -> None:
    frame = pd.DataFrame(paths(tmp_path), columns=["file", "label"]).assign(group=[i // 2 for i in range(24)])
    images = load_source(frame)
    assert images.groups is not None
    again = load_source(images)
    assert again.groups is not None
    for other in (again, load_source(again)):
        assert grouped(other) == grouped(images)
    from conviction.data import audit_images

    split = split_images(images, DataSpec(), 0, audit_images(images, DataSpec()).groups)
    part = {int(i): name for name in ("train", "validation", "test") for i in split.of(name)}
    for group in set(images.groups):
        assert len({part[i] for i in np.flatnonzero(images.groups == group)}) == 1


@pytest.mark.parametrize("kind", ["paths", "pictures", "Parquet"])
def test_columns_that_are_not_used_are_listed(kind: str, tmp_path: Path) -> None:
    if kind == "Parquet":
        images = load_source(parquet(tmp_path, Colour=["red"] * 24, split=["train"] * 20 + ["test"] * 4))
        assert (images.name, images.location) == ("train", str(tmp_path / "train.parquet"))
        assert (images.parts == "test").sum() == 4
    else:
        frame = pd.DataFrame(paths(tmp_path), columns=["file", "label"]).assign(Colour="red")
        images = load_source(frame if kind == "paths" else frame.assign(file=list(X)))
    (unused,) = images.unused
    assert (unused.kind, unused.count, unused.examples[0].lower()) == ("unknown_column", 1, "colour")


def test_a_parquet_of_contents_is_written_once_and_again_when_it_changes(tmp_path: Path, cache: Path) -> None:
    load_source(parquet(tmp_path))
    (written,) = (cache / "in-memory").iterdir()
    before = written.stat().st_mtime_ns
    load_source(tmp_path / "train.parquet")
    assert written.stat().st_mtime_ns == before
    parquet(tmp_path, group=["one"] * 24)
    assert load_source(tmp_path / "train.parquet").groups.tolist() == ["one"] * 24


def test_a_parquet_that_lacks_a_picture_or_a_label_is_refused(tmp_path: Path, cache: Path) -> None:
    for values, words in (
        ({"image": [{"bytes": None, "path": "a.png"}] * 24}, "row 1 lacks a picture or a label"),
        ({"label": [0, None] * 12}, "row 2 lacks a picture or a label"),
        ({"split": ["exam"] * 24}, "got 'exam'"),
    ):
        with pytest.raises((SourceError, RequestError), match=words):
            load_source(parquet(tmp_path, **values))
    assert not list((cache / "in-memory").glob("*"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "expected a name or a path; .* got int"),
        (None, "got NoneType"),
        ([], "got list"),
        ((X,), "got tuple"),
        ([X[0], X[1]], "got list"),
        ([(X[0], "a"), X[1]], r"expected \(picture, label\)|got list"),
        ([("a.png", "a"), (X[1], "b")], "picture 1 is numpy.ndarray, and those before it are paths"),
        ([(X[0], "a"), ("b.png", "b")], "picture 1 is str; expected"),
        ([(X[0] / 255, "a")], "picture 0 has shape .* and type float64"),
        ([(X[0], 0.5)], "the label 0.5 is no class"),
        ([(X[0], float("nan"))], "the label nan is no class"),
        ([(X[0], None)], "expected a label to be text or a whole number"),
        ((np.array([X[0], X[1][:5]], dtype=object), [0, 1]), "one of Python objects"),
        (pd.DataFrame({"image": list(X)}), "a column 'file' .* got image"),
        (
            pd.DataFrame([[1, 2, 3]], columns=["file", "label", "Label"]),
            "columns have different names; got file, label",
        ),
        (pd.DataFrame({"image": list(X), "label": NAMES, "split": "exam"}), "got 'exam'"),
    ],
)
def test_anything_else_is_refused_with_the_reason(given: Any, words: str, cache: Path) -> None:
    with pytest.raises(RequestError, match=words):
        load_source(given)
    assert not list((cache / "in-memory").glob("*")) if cache.exists() else True


def test_datasets_without_end_or_with_scaled_pixels_are_refused() -> None:
    for change, words in (
        (lambda dataset: dataset.repeat(), "no end"),
        (lambda dataset: dataset.map(lambda x, y: (x / 255, y)), "leave out the scaling"),
    ):
        with pytest.raises(RequestError, match=words):
            load_source(tensorflow(Path(), change))


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SourceError, match="as many labels as images"):
        load_source((X, Y[:5]))
    with pytest.raises(SourceError, match="whole numbers or text"):
        load_source((X, Y + 0.5))


def test_a_cache_that_cannot_be_written_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONVICTION_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="CONVICTION_CACHE"):
        load_source((X, Y))


def test_every_kind_is_listed() -> None:
    for word in (
        "arrays",
        "ImageSet",
        "DataFrame",
        "tf.data.Dataset",
        "PyDataset",
        "PyTorch",
        "Hugging Face",
        "mapping",
    ):
        assert word in EXPECTED


def test_arrays_are_trained_resumed_and_exported(tmp_path: Path) -> None:
    """Five lines from (X, y) to a report, and everything that reads the images again."""
    run = conviction.fit(
        (X, Y, builders.CLASSES),
        ["recipe=lab", "training.epochs=1", "model.filters=[4]"],
        out=tmp_path / "run",
    )
    assert (run.path / "report.html").is_file()
    run = conviction.resume(run.path, {"training.epochs": 2})
    assert len(run.epoch_rows) == 2
    assert conviction.export(run.path, ["script"])
    assert conviction.evaluate_new(run.path, (X, Y, builders.CLASSES)).part.score.n == 24


def test_bytes_that_are_no_picture_are_named(tmp_path: Path) -> None:
    images = load_source(
        [*((x, n) for x, n in zip(X, NAMES, strict=True)), (io.BytesIO(b"no").getvalue(), "ant")]
    )
    assert len(images) == 24
    assert len(images.unreadable) == 1


def test_the_cache_lists_what_was_given_and_clears_it(cli: Cli, cache: Path) -> None:
    load_source((X, Y))
    (written,) = (cache / "in-memory").iterdir()
    env = {"CONVICTION_CACHE": str(cache)}
    listed = json.loads(cli("cache", "--json", env=env).out)["in_memory"]
    assert listed == [{"file": str(written), "bytes": written.stat().st_size}]
    shown = cli("cache", env=env).out
    assert "were given in Python" in shown
    assert str(written) in shown
    assert cli("cache", "--clear", env=env).code == 0
    assert not written.exists()
    with pytest.raises(SourceNotFoundError, match="Give the same ones once more"):
        load_source(written)
    load_source((X, Y))
    assert len(load_source(written)) == 24
