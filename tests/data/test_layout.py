"""What the folders above pictures are taken for: classes, parts under any name, wrappings; and what is doubted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.config import DataSpec
from conviction.data import audit_images, load_source
from conviction.data.layout import common_depth, part_of, read_layout
from conviction.errors import SourceError
from tests.data import builders


def layout_of(folders: Iterable[str]) -> tuple[dict[str, set[str]], list[str], dict[str, str]]:
    """(classes by part, kinds of what has no class, doubts by folder) for two pictures in each folder."""
    paths = [f"{folder}/{i}.png".lstrip("/").split("/") for folder in folders for i in range(2)]
    depth = common_depth(paths, "labels.csv")
    found = read_layout("here", {"/".join(p): p[depth:] for p in paths})
    classes: dict[str, set[str]] = {}
    for label, part in found.labels.values():
        classes.setdefault(part, set()).add(label)
    return classes, sorted({k for k, _ in found.passed}), {d.folder: d.kind for d in found.doubts}


def under(*parts: str, classes: tuple[str, ...] = ("cat", "dog")) -> list[str]:
    return [f"{part}/{name}" for part in parts for name in classes]


BOTH = {"train": {"cat", "dog"}, "test": {"cat", "dog"}}


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (under("train", "test"), BOTH),
        (under("training_set", "test_set"), BOTH),
        (under("trainset", "testSet"), BOTH),
        (under("Training", "Testing"), BOTH),
        (under("train_images", "test-images"), BOTH),
        (under("seg_train", "seg_test"), BOTH),
        (under("seg_train/seg_train", "seg_test/seg_test"), BOTH),
        (under("chest_xray/train", "chest_xray/test"), BOTH),
        (under("train/images", "test/images"), BOTH),
        (under("train2017", "val2017"), {"train": {"cat", "dog"}, "validation": {"cat", "dog"}}),
        (under("data/training_set"), {"train": {"cat", "dog"}}),
        (["cat/train", "cat/test", "dog/train", "dog/test"], BOTH),
        (under("dataset"), {"": {"cat", "dog"}}),
        # Classes that only look like parts.
        (["train", "bus"], {"": {"train", "bus"}}),
        (["steam_train", "bullet_train"], {"": {"steam_train", "bullet_train"}}),
        (["valid", "invalid"], {"": {"valid", "invalid"}}),
        (["brain", "latest", "evaluation"], {"": {"brain", "latest", "evaluation"}}),
    ],
)
def test_parts_and_classes_are_known_by_their_folders(
    folders: list[str], classes: dict[str, set[str]]
) -> None:
    found, passed, doubts = layout_of(folders)
    assert (found, passed, doubts) == (classes, [], {})


@pytest.mark.parametrize(
    ("folders", "kind"),
    [
        ([*under("training_set", "test_set"), "single_prediction"], "picture_to_predict"),
        ([*under("seg_train", "seg_test"), "seg_pred/seg_pred"], "picture_to_predict"),
        ([*under("train"), "unlabelled"], "picture_to_predict"),
        ([*under("train"), "test1"], "loose_picture"),
        ([*under("train"), "test/test"], "loose_picture"),
        (["cat", "dog", ""], "loose_picture"),
    ],
)
def test_pictures_without_a_class_make_no_class_and_are_counted(folders: list[str], kind: str) -> None:
    classes, passed, _ = layout_of(folders)
    assert set().union(*classes.values()) == {"cat", "dog"}
    assert passed == [kind]


@pytest.mark.parametrize(
    ("folders", "doubts"),
    [
        (["cat", "dog", *under("cell_images")], {"cell_images": "classes_inside"}),
        (["cat", "dog", *under("test")], {"test": "classes_inside"}),
        (["cat", "dog", "test"], {"test": "part_name"}),
        (["cat", "dog", "single_prediction"], {"single_prediction": "part_name"}),
        ([*under("train"), "more"], {"train": "part_name"}),
        ([*under("dataset"), "docs"], {"dataset": "wrapping"}),
        ([*under("animals"), "docs"], {"animals": "folders_inside"}),
        ([*under("a/train", "a/test"), "b"], {"a": "parts_inside"}),
        (under("animals") + under("things", classes=("car", "bus")), {}),
        (["cat", "cat/more", "dog"], {}),
    ],
)
def test_folders_that_may_not_be_classes_are_doubted(folders: list[str], doubts: dict[str, str]) -> None:
    assert layout_of(folders)[2] == doubts


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ([*under("train", "test"), "chest_xray/cat"], "beside them is 'chest_xray'"),
        (["cat_train", "cat_test", "dog_train", "dog_test"], "name a part of the data and something else"),
    ],
)
def test_parts_beside_other_folders_are_asked_about(folders: list[str], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        layout_of(folders)


NAMES = st.sampled_from(["train", "test_set", "seg_val", "cat", "Cat", "data", "pred", "sub", "x"])


@given(st.lists(st.lists(NAMES, max_size=4), min_size=1, max_size=6))
def test_every_picture_is_labelled_or_counted_once(folders: list[list[str]]) -> None:
    paths = {"/".join([*folder, "0.png"]): [*folder, "0.png"] for folder in folders}
    depth = common_depth(list(paths.values()), "labels.csv")
    try:
        found = read_layout("here", {p: parts[depth:] for p, parts in paths.items()})
    except SourceError:
        return
    passed = [path for _, path in found.passed]
    assert sorted([*found.labels, *passed]) == sorted(paths)


@pytest.mark.parametrize("name", ["contest", "straining", "1", "", "train_test", "été"])
def test_no_part_is_seen_in_other_words(name: str) -> None:
    assert part_of(name) is None


def test_class_names_that_look_alike_are_one_finding(tmp_path: Path) -> None:
    names = {"ant": "Café", "bee": "cafe\u0301 ", "cow": "cow"}
    tree = {f"{names[p.split('/')[0]]}/{p.split('/')[1]}": c for p, c in builders.files().items()}
    images = load_source(builders.write_tree(tmp_path / "d", tree))
    findings = [f for f in audit_images(images, DataSpec()).findings if f.kind == "similar_classes"]
    assert [(f.count, set(f.names)) for f in findings] == [(16, {"Café", "cafe\u0301 "})]
    assert "one name" in findings[0].advice


def test_a_doubtful_folder_is_a_finding_with_its_number_of_images(tmp_path: Path) -> None:
    tree = {p.replace("cow/", "test/"): c for p, c in builders.files().items()}
    images = load_source(builders.write_tree(tmp_path / "d", tree))
    (found,) = [f for f in audit_images(images, DataSpec()).findings if f.kind == "part_name"]
    assert (found.severity, found.count, found.names) == ("warning", 8, ("test",))
