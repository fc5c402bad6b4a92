"""What was supplied and is not used: counted, whatever the source, and the same for learning and predicting."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.artefacts.predict import picture_files
from conviction.data import ImageSet, load_source
from conviction.data.npz import array_pairs
from conviction.data.unused import Unused, count_unused, unused_sentence
from conviction.errors import SourceError
from tests.data import builders


def counts(unused: tuple[Unused, ...]) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {u.kind: (u.count, u.examples) for u in unused}


def predicted(path: Path) -> tuple[list[str], dict[str, tuple[int, tuple[str, ...]]]]:
    with picture_files([path]) as (files, unused):
        return sorted(f.name.removeprefix(f"{path}/") for f in files), counts(unused)


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    return builders.folder(tmp_path)


def same_for_both(path: Path) -> ImageSet:
    """The images, after ``predict`` was seen to pass over what ``fit`` does."""
    images = load_source(path)
    files, unused = predicted(path)
    assert files == sorted([*images.names, *(u.name for u in images.unreadable)])
    assert unused == {k: v for k, v in counts(images.unused).items() if k != "empty_folder"}
    return images


def test_linked_folders_are_read_once_and_loops_end(animals: Path, tmp_path: Path) -> None:
    pool = builders.write_tree(tmp_path / "pool", {"1.png": builders.png(builders.image(7, 0))})
    (pool / "again").symlink_to(pool)
    (animals / "dog").symlink_to(pool)
    (animals / "ant" / "more").symlink_to(pool)  # earlier in the alphabet, so this is where it is read
    (animals / "ant" / "loop").symlink_to(animals)
    (animals / "ant" / "up").symlink_to(tmp_path)
    (animals / "bee" / "ants").symlink_to(animals / "ant")
    (animals / "owl").symlink_to(tmp_path / "nowhere")
    images = same_for_both(animals)
    assert len(images) == 25
    assert "ant/more/1.png" in images.names
    assert counts(images.unused) == {
        "repeated_folder": (5, ("ant/loop", "ant/more/again", "ant/up", "bee/ants", "dog")),
        "broken_link": (1, ("owl",)),
    }


def test_a_link_never_takes_the_place_of_what_it_leads_to(animals: Path) -> None:
    (animals / "all").symlink_to(animals / "bee")
    images = same_for_both(animals)
    assert images.class_names == ["ant", "bee", "cow"]
    assert counts(images.unused) == {"repeated_folder": (1, ("all",))}


def test_a_linked_class_and_a_linked_part_are_read(animals: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    for part in ("train", "test"):
        (root / part).mkdir(parents=True)
        (root / part / "cow").symlink_to(animals / "cow") if part == "train" else None
    (root / "train" / "bee").symlink_to(animals / "bee")
    (root / "test" / "bee").mkdir()
    (root / "test" / "bee" / "9.png").write_bytes(builders.png(builders.image(9, 9)))
    images = same_for_both(root)
    assert {p: int((images.parts == p).sum()) for p in ("train", "test")} == {"train": 16, "test": 1}
    assert images.unused == ()


def test_other_files_hidden_pictures_and_archives_are_counted(animals: Path) -> None:
    for name in (
        "ant/notes.txt",
        "more.zip",
        "ant/x.psd",
        ".new/0.png",
        "ant/.1.png",
        ".git/config",
        "ant/._0.png",
    ):
        (animals / name).parent.mkdir(exist_ok=True)
        (animals / name).write_bytes(b"x")
    os.mkfifo(animals / "pipe")
    images = same_for_both(animals)
    assert len(images) == 24
    assert counts(images.unused) == {
        "other_file": (2, ("ant/notes.txt", "ant/x.psd")),
        "hidden_picture": (2, (".new/0.png", "ant/.1.png")),
        "special_file": (1, ("pipe",)),
        "nested_archive": (1, ("more.zip",)),
    }


def test_members_of_a_tar_that_are_no_files(tmp_path: Path) -> None:
    path = builders.tarred(tmp_path, ".tar", "w")
    with tarfile.open(path, "a") as archive:
        for name, kind in (
            ("ant/soft.png", tarfile.SYMTYPE),
            ("owl", tarfile.LNKTYPE),
            ("pipe", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "ant/0.png"
            archive.addfile(member)
        member = tarfile.TarInfo("ant/0.png")
        content = builders.png(builders.image(5, 5))
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    assert counts(same_for_both(path).unused) == {
        "special_file": (1, ("pipe",)),
        "archive_link": (2, ("ant/soft.png", "owl")),
        "replaced_member": (1, ("ant/0.png",)),
    }


def test_links_in_a_zip(tmp_path: Path) -> None:
    path = builders.zipped(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("owl")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "../pool/owl")
    assert counts(same_for_both(path).unused) == {"archive_link": (1, ("owl",))}


def test_pictures_that_the_table_does_not_name_are_counted(tmp_path: Path) -> None:
    root = builders.flat(tmp_path)
    (root / "new.png").write_bytes(builders.png(builders.image(8, 8)))
    assert counts(load_source(root).unused) == {"unlabelled_picture": (1, ("new.png",))}


def test_a_readme_beside_the_wrapping_hides_no_class(tmp_path: Path) -> None:
    tree = {f"data set/{p}": c for p, c in builders.files().items()} | {"README.md": b"x"}
    images = load_source(builders.write_tree(tmp_path / "d", tree))
    assert images.class_names == ["ant", "bee", "cow"]


X, Y = np.arange(6 * 30 * 30, dtype=np.uint8).reshape(6, 30, 30), np.arange(6) % 3


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        ("X y", {"": ("X", "y")}),
        ("x_train y_train x_valid y_valid x_test y_test", None),
        ("X_train Y_train X_val Y_VAL xTest Y_test", None),
        ("trainX trainY testX testY x_validation y_validation", None),
        ("train_images train_labels val_images val_labels test_images test_labels", None),
        ("x y x_test y_test x_dev y_dev", None),
        ("x_train y_train x y ids", {"train": ("x_train", "y_train")}),
    ],
)
def test_arrays_are_known_by_usual_spellings(names: str, pairs: dict[str, tuple[str, str]] | None) -> None:
    found = array_pairs(names.split(), "here")
    if pairs is not None:
        assert found == pairs
    else:
        assert set(found) == {"train", "validation", "test"}
        assert {name for both in found.values() for name in both} == set(names.split())


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("x_train y_train x_test", "x_test has no array of labels beside it; expected y_test"),
        ("x_train y_train Y_Valid", "Y_Valid has no array of images beside it"),
        ("x_train y_train x_val y_val x_valid y_valid", "x_val and x_valid stand for the same thing"),
    ],
)
def test_half_a_part_is_refused(names: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        array_pairs(names.split(), "here")


@given(
    st.permutations(["x_train", "y_train", "X_test", "y_Test", "ids", "x_holdout", "y_holdout", "weights"])
)
def test_every_array_is_used_or_left_over_in_any_order(names: list[str]) -> None:
    pairs = array_pairs(names, "here")
    used = {name for both in pairs.values() for name in both}
    assert set(names) - used == {"ids", "x_holdout", "y_holdout", "weights"}


def test_arrays_that_are_not_used_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=Y, ids=Y, class_names=np.array(["a", "b", "c"]))
    images = load_source(tmp_path / "a.npz")
    assert counts(images.unused) == {"unknown_array": (1, ("ids",))}
    assert "all images: X and y" in " ".join(images.conversions)
    np.savez(tmp_path / "b.npz", x=X, y=Y, class_names=np.array(["a", "b", "a"]))
    with pytest.raises(SourceError, match="'a' more than once"):
        load_source(tmp_path / "b.npz")


def test_idx_files_are_used_refused_or_named(tmp_path: Path) -> None:
    root = builders.idx(tmp_path)
    for name in ("train-images-idx3-ubyte.gz", "readme.txt"):
        (root / name).write_bytes(b"x")
    assert counts(load_source(root).unused) == {
        "second_file": (1, ("train-images-idx3-ubyte.gz",)),
        "beside_idx": (1, ("readme.txt",)),
    }
    (root / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(SourceError, match="t10k-images-idx3-ubyte has no file of labels beside it"):
        load_source(root)


def test_one_sentence_says_it_all() -> None:
    unused = count_unused([("other_file", f"{i}.txt") for i in range(7)] + [("archive_link", "a\nb")])
    assert unused_sentence(unused) == (
        "Not used: 7 files without the ending of a picture file (0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more); 1 "
        "link in the archive not followed: pack the files instead (tar --dereference --hard-dereference) "
        "(a?b)."
    )
    assert unused_sentence(()) == ""
