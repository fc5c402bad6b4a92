"""npz and IDX: what is accepted, and that a wrong file is an error and not a crash."""

from __future__ import annotations

import contextlib
import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conviction.data import encode_labels, load_source
from conviction.data.idx import read_idx
from conviction.data.npz import read_npz
from conviction.data.size import auto_size
from conviction.errors import SourceError
from tests.data import builders

X = np.arange(12 * 30 * 30, dtype=np.uint32).reshape(12, 30, 30).astype(np.uint8)
Y = np.arange(12) % 3


def save(tmp_path: Path, **arrays: np.ndarray) -> Path:
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


def test_labels_may_have_gaps_or_a_second_axis_or_be_text(tmp_path: Path) -> None:
    gaps = load_source(save(tmp_path, x=X, y=Y * 10 + 5))
    assert gaps.class_names == ["5", "15", "25"]
    assert gaps.labels.tolist() == Y.tolist()
    assert load_source(save(tmp_path, x=X, y=Y[:, None])).labels.tolist() == Y.tolist()
    assert load_source(save(tmp_path, x=X, y=Y.astype(float))).labels.tolist() == Y.tolist()
    text = load_source(save(tmp_path, x=X, y=np.array(["b", "a", "c"])[Y]))
    assert text.class_names == ["a", "b", "c"]
    assert [text.class_names[i] for i in text.labels[:3]] == ["b", "a", "c"]


def test_parts_are_known_by_their_names(tmp_path: Path) -> None:
    parts = {"x_train": X, "y_train": Y, "x_test": X[:3], "y_test": Y[:3], "x_val": X[:6], "y_val": Y[:6]}
    images = load_source(save(tmp_path, **parts))
    assert [int((images.parts == p).sum()) for p in ("train", "validation", "test")] == [12, 6, 3]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X, "y": Y[:5]}, "12 images in x and 5 labels in y"),
        ({"x_train": X, "labels": Y}, "expected the arrays x_train and y_train"),
        ({"x_test": X, "y_test": Y}, "expected the arrays x_train and y_train"),
        ({"x": X[:0], "y": Y[:0]}, "x holds no images"),
        ({"x": X, "y": Y - 1}, "labels from 0 upwards; got -1"),
        ({"x": X, "y": Y + 0.5}, "whole numbers or text"),
        ({"x": X, "y": np.eye(3)[Y]}, r"argmax\(axis=1\)"),
        ({"x": X.reshape(12, -1), "y": Y}, r"got \(12, 900\)"),
        ({"x": X, "y": Y, "class_names": np.array(["a", "b"])}, "label 2 has no name"),
        ({"x_train": X, "y_train": Y * 0, "x_test": X, "y_test": Y}, "labels that training does not: 1, 2"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :9], "y_test": Y}, "one shape in all parts"),
        ({"x": X, "y": np.full(12, np.nan)}, "whole numbers or text"),
    ],
)
def test_wrong_arrays_are_refused(arrays: dict[str, np.ndarray], words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        load_source(save(tmp_path, **arrays))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "owned",))

    np.savez(tmp_path / "a.npz", x=np.array([Trap()], dtype=object), y=Y[:1])
    with pytest.raises(SourceError, match=r"Python objects \(pickled\), which are never loaded"):
        load_source(tmp_path / "a.npz")
    assert not (tmp_path / "owned").exists()


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(SourceError, match=r"single \.npy array"):
        load_source(tmp_path / "a.npz")


@settings(max_examples=80, deadline=None)
@given(cut=st.floats(0, 1), place=st.floats(0, 1), value=st.integers(0, 255))
def test_a_damaged_npz_is_refused_or_read(
    cut: float, place: float, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("npz")
    content = bytearray(save(folder, x=X[:, :4, :4], y=Y).read_bytes())
    content[int(place * (len(content) - 1))] = value
    (folder / "b.npz").write_bytes(content[: int(len(content) * (0.2 + 0.8 * cut))])
    with contextlib.suppress(SourceError):
        read_npz(folder / "b.npz")


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "int32", "float32", "float64"])
def test_idx_of_every_type_reads_back(kind: str, tmp_path: Path) -> None:
    array = (np.arange(24).reshape(2, 3, 4) * 5).astype(kind)
    (tmp_path / "a").write_bytes(builders.idx_bytes(array))
    (tmp_path / "a.gz").write_bytes(gzip.compress(builders.idx_bytes(array)))
    for name in ("a", "a.gz"):
        got = read_idx(tmp_path / name)
        assert got.dtype == array.dtype
        assert np.array_equal(got, array)


GOOD = builders.idx_bytes(X[:2])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "starts with nothing"),
        (b"\x00\x00\x07\x01" + GOOD[4:], "not an IDX file"),
        (b"PK\x03\x04" + GOOD[4:], "not an IDX file"),
        (GOOD[:9], "header is cut short"),
        (GOOD[:-1], "1,800 bytes; got 1,799"),
        (GOOD + b"x", "1,800 bytes; got more"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31), "got 0"),
    ],
)
def test_wrong_idx_files_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(SourceError, match=words):
        read_idx(tmp_path / "a")


def test_idx_that_is_not_gzip_inside_is_refused(tmp_path: Path) -> None:
    for content in (GOOD, gzip.compress(GOOD)[:-20], b""):
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(SourceError, match=r"a\.gz"):
            read_idx(tmp_path / "a.gz")


def test_idx_without_training_files_is_refused(tmp_path: Path) -> None:
    root = builders.idx(tmp_path)
    for file in root.glob("train-*"):
        file.unlink()
    with pytest.raises(SourceError, match="train-images-idx3-ubyte"):
        load_source(root)


@given(st.integers(2, 12), st.lists(st.integers(0, 11), min_size=1, max_size=30))
def test_encoded_labels_decode_to_the_labels(classes: int, labels: list[int]) -> None:
    y = np.array([label % classes for label in labels])
    encoded = encode_labels(y, classes)
    assert encoded.dtype == np.float32
    if classes == 2:
        assert encoded.shape == (len(y), 1)
        assert np.array_equal(encoded[:, 0], y)
    else:
        assert encoded.shape == (len(y), classes)
        assert np.array_equal(encoded.argmax(axis=1), y)
        assert (encoded.sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("sizes", "want"),
    [
        ([(8, 8)], (32, 32)),
        ([(28, 28)], (28, 28)),
        ([(32, 32)], (32, 32)),
        ([(64, 48)], (64, 48)),
        ([(500, 500)], (64, 64)),
        ([(300, 600)], (32, 64)),
        ([(10, 1000)], (28, 64)),
        ([(40, 50), (60, 45), (200, 300)], (45, 45)),
        ([(4000, 3000), (3000, 4000)], (64, 64)),
        ([(5, 6), (6, 5)], (28, 28)),
    ],
)
def test_a_size_is_chosen_when_nobody_says(sizes: list[tuple[int, int]], want: tuple[int, int]) -> None:
    assert auto_size(sizes) == want


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1, max_size=10))
def test_a_chosen_size_is_always_workable(sizes: list[tuple[int, int]]) -> None:
    assert all(28 <= side <= 64 for side in auto_size(sizes))
