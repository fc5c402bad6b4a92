"""Layouts of image folders, sizes and modes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conviction.config import DataSpec
from conviction.data import load_source, split_images
from conviction.errors import SourceError, SourceNotFoundError
from tests.data import builders


def in_parts(**parts: str) -> dict[str, bytes]:
    """Files under part folders: ``in_parts(train="Train", test="test")``."""
    out = {}
    for part, name in parts.items():
        chosen = {"train": range(6), "validation": range(6, 7), "test": range(7, 8)}[part]
        for path, content in builders.files().items():
            if int(Path(path).stem) in chosen:
                out[f"{name}/{path}"] = content
    return out


@pytest.mark.parametrize("names", [("train", "test", "validation"), ("Training", "TESTING", "val")])
def test_parts_are_known_by_their_folders(names: tuple[str, str, str], tmp_path: Path) -> None:
    train, test, validation = names
    root = builders.write_tree(tmp_path / "d", in_parts(train=train, test=test, validation=validation))
    images = load_source(root)
    assert {p: int((images.parts == p).sum()) for p in ("train", "validation", "test")} == {
        "train": 18,
        "validation": 3,
        "test": 3,
    }
    for name, label in zip(images.names, images.labels, strict=True):
        assert name.split("/")[1] == images.class_names[label]


def test_classes_of_the_test_set_are_matched_by_name(tmp_path: Path) -> None:
    tree = in_parts(train="train", test="test")
    del tree["test/ant/7.png"]  # now position 0 of test is bee
    images = load_source(builders.write_tree(tmp_path / "d", tree))
    test = [images.class_names[y] for y, p in zip(images.labels, images.parts, strict=True) if p == "test"]
    assert test == ["bee", "cow"]
    tree["test/Ant/7.png"] = tree["train/ant/1.png"]
    with pytest.raises(SourceError, match="test images have classes that training does not: Ant"):
        split_images(load_source(builders.write_tree(tmp_path / "e", tree)), DataSpec(), 0)


def test_files_that_are_no_pictures_by_name_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    root = builders.folder(tmp_path)
    for name in (
        "README.md",
        "ant/notes.txt",
        ".DS_Store",
        "ant/._0.png",
        "__MACOSX/ant/0.png",
        "bee/Thumbs.db",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    images = load_source(root)
    assert len(images) == 24
    assert images.unreadable == []
    assert [(u.kind, u.count, u.examples) for u in images.unused] == [
        ("other_file", 2, ("README.md", "ant/notes.txt"))
    ]


@pytest.mark.parametrize("above", [".", "train"])
def test_a_folder_without_a_picture_is_named(above: str, tmp_path: Path) -> None:
    tree = {f"{above}/{name}": content for name, content in builders.files().items()}
    root = builders.write_tree(tmp_path / "d", tree)
    (root / above / "horse").mkdir()
    (root / above / ".cache").mkdir()
    (unused,) = load_source(root).unused
    assert (unused.kind, unused.examples) == ("empty_folder", ("horse" if above == "." else "train/horse",))


def test_sizes_and_modes_are_brought_together_and_it_is_said(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for label, name in enumerate(("a", "b")):
        (root / name).mkdir(parents=True)
        for i in range(5):
            picture = Image.fromarray(builders.image(label, i)).resize((40 + 10 * i, 50))
            (picture.convert("L") if i == 0 else picture).save(root / name / f"{i}.png")
    images = load_source(root)
    assert images.pixels.shape == (10, 50, 50, 3)
    said = " ".join(images.conversions)
    assert "Images of 5 sizes were resized to 50x50" in said
    assert "2 grayscale pictures became RGB" in said
    gray = load_source(root, DataSpec(image_size=(20, 30), color_mode="grayscale"))
    assert gray.pixels.shape == (10, 20, 30, 1)
    assert "8 colour pictures became grayscale" in " ".join(gray.conversions)


def test_gray_pictures_have_one_channel(tmp_path: Path) -> None:
    tree = {path: builders.png(builders.image(0, i)[..., 0]) for i, path in enumerate(builders.files())}
    assert load_source(builders.write_tree(tmp_path / "d", tree)).pixels.shape == (24, 30, 30, 1)


def test_broken_files_are_left_out_with_their_reasons(tmp_path: Path) -> None:
    root = builders.folder(tmp_path)
    whole = (root / "ant" / "0.png").read_bytes()
    (root / "ant" / "text.png").write_text("hello")
    (root / "ant" / "empty.jpg").touch()
    (root / "bee" / "half.png").write_bytes(whole[: len(whole) // 2])
    images = load_source(root)
    assert len(images) == 24
    reasons = {u.name: u.reason for u in images.unreadable}
    assert reasons["ant/empty.jpg"] == "the file is empty"
    assert "not a JPEG" in reasons["ant/text.png"]
    assert "truncated" in reasons["bee/half.png"]
    # And what is left does not depend on what was left out.
    clean = load_source(builders.write_tree(tmp_path / "clean", builders.files()))
    assert sorted(images.hashes.tolist()) == sorted(clean.hashes.tolist())


def test_a_class_without_a_readable_picture_is_refused(tmp_path: Path) -> None:
    root = builders.folder(tmp_path)
    whole = (root / "ant" / "0.png").read_bytes()
    for i in range(8):  # headers are fine, pixels are not: found only when decoding
        (root / "cow" / f"{i}.png").write_bytes(whole[:200])
    with pytest.raises(SourceError, match=r"class 'cow' has no readable picture left \(8 files"):
        load_source(root)


@pytest.mark.parametrize("tree", [{}, {"a.png": b"x"}, {"a/notes.txt": b"x"}, {"train/x.png": b"x"}])
def test_folders_without_labelled_pictures_are_refused(tree: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(SourceError, match=r"one subfolder of pictures per class, or a labels\.csv"):
        load_source(builders.write_tree(tmp_path / "d", tree))


def with_csv(tmp_path: Path, text: str) -> Path:
    root = builders.flat(tmp_path)
    (root / "labels.csv").write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs a header"),
        ("a,b\n1,2\n", "'file' and a column 'label'; got a, b"),
        ("file,label\nant-0.png,\n", "line 2 lacks a file or a label"),
        ("file,label\n../x.png,ant\n", r"line 2 leads out of the folder"),
        ("file,label\n/etc/x.png,ant\n", r"line 2 leads out of the folder"),
        ("file,label\nant-0.png,ant\nant-0.png,bee\n", "two labels, 'ant' and 'bee'"),
        ("file,label,split\nant-0.png,ant,exam\n", "expected train, validation or test as split; got 'exam'"),
        ('file,label\n"ant-0.png,ant\n', "not valid CSV"),
        ("file,label\nant-0.png,0.5\nant-1.png,3.5\n", "line 2: the label 0.5 is a measurement, not a class"),
        (
            'file,label\nant-0.png,"cat,animal"\nant-1.png,cat\nbee-0.png,bee\n',
            "line 2: the label 'cat,animal' names several classes",
        ),
        ("file,label\nant-0.png,a|b\nant-1.png,b|c\n", "names several classes"),
    ],
)
def test_wrong_label_files_are_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        load_source(with_csv(tmp_path, text))


def test_label_files_may_say_parts_and_name_files_that_are_not_there(tmp_path: Path) -> None:
    rows = ["Filename,Class,Split"]
    rows += [
        f"{name}-{i}.png,{name},{'test' if i == 0 else 'train'}"
        for name in builders.CLASSES
        for i in range(8)
    ]
    images = load_source(with_csv(tmp_path, "\ufeff" + "\n".join([*rows, "gone.png,ant,train"])))
    assert (images.parts == "test").sum() == 3
    assert [u.name for u in images.unreadable] == ["gone.png"]


def test_one_class_is_refused(tmp_path: Path) -> None:
    only = {p: c for p, c in builders.files().items() if p.startswith("ant")}
    with pytest.raises(SourceError, match="at least two classes; got one class, 'ant'"):
        load_source(builders.write_tree(tmp_path / "d", only))


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="neither a named set") as caught:
        load_source(tmp_path / "nowhere")
    assert isinstance(caught.value, FileNotFoundError)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match="got another kind of file"):
        load_source(tmp_path / "notes.txt")


def test_same_pictures_same_arrays(tmp_path: Path) -> None:
    one, two = load_source(builders.folder(tmp_path)), load_source(builders.zipped(tmp_path))
    by_hash = {h.tobytes(): p.tobytes() for h, p in zip(one.hashes, one.pixels, strict=True)}
    assert by_hash == {h.tobytes(): p.tobytes() for h, p in zip(two.hashes, two.pixels, strict=True)}
    assert np.unique(one.hashes).size == 24
