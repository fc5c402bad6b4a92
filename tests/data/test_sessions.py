"""Sessions: those that were planted are found, and independent pictures are left alone."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conviction.config import DataSpec
from conviction.data import ImageSet, audit_images, load_source, split_images
from conviction.data import audit as audit_module
from conviction.data.audit import KeptAudit
from conviction.data.decode import Probe, probe
from conviction.data.image_set import array_hashes
from conviction.data.likeness import by_features, by_pixels
from conviction.data.rule import DecodingRule
from conviction.data.sessions import MOST_A_SECOND, Sessions, find_sessions, nearest_right
from conviction.errors import RequestError
from tests.data.test_audit import SIDE, scene

JPEG = Probe(SIDE, SIDE, True, "RGB", "JPEG")


def image_set(
    labels: np.ndarray,
    names: list[str] | None = None,
    headers: list[Probe] | None = None,
    thumbs: np.ndarray | None = None,
) -> ImageSet:
    """A set whose pixels do not matter; by default, files that are numbered in their order."""
    n = len(labels)
    pixels = np.arange(n, dtype=np.uint32).view(np.uint8).reshape(n, 2, 2, 1)
    return ImageSet(
        name="pictures",
        location="pictures",
        origin=None,
        pixels=pixels,
        labels=labels,
        hashes=array_hashes(pixels),
        names=names or [f"c{label}/{i:04d}.jpg" for i, label in enumerate(labels)],
        parts=np.array([""] * n, dtype="<U10"),
        class_names=[f"c{i}" for i in range(labels.max() + 1)],
        rule=DecodingRule(color_mode="grayscale", height=2, width=2),
        stored="pictures",
        thumbs=np.zeros((n, 32, 32, 3), np.uint8) if thumbs is None else thumbs,
        pixel_hashes=array_hashes(pixels),
        headers=[JPEG] * n if headers is None else headers,
    )


def planted(seed: int = 0, classes: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and sessions (-1 for none): in each class 8 sessions of 3 to 9 pictures, and 40 alone."""
    rng = np.random.default_rng(seed)
    features, labels, sessions = [], [], []
    for label in range(classes):
        common = rng.normal(size=64)
        sizes = rng.permutation([*rng.integers(3, 10, 8), *[1] * 40])
        for size in sizes:
            own = common + rng.normal(size=64)
            features += [own + 0.3 * rng.normal(size=64) for _ in range(size)]
            labels += [label] * size
            sessions += [max(sessions, default=-1) + 1 if size > 1 else -1] * size
    return np.array(features, np.float32), np.array(labels), np.array(sessions)


def precision_and_recall(sessions: Sessions, truth: np.ndarray) -> tuple[float, float]:
    """Over all pairs of pictures."""
    numbers = sessions.numbers(len(truth))
    a, b = np.triu_indices(len(truth), 1)
    true = (truth[a] == truth[b]) & (truth[a] >= 0)
    together = (numbers[a] == numbers[b]) & (numbers[a] >= 0)
    return float((true & together).sum() / together.sum()), float((true & together).sum() / true.sum())


def nobody(images: ImageSet) -> np.ndarray:
    return np.zeros(len(images), bool)


@pytest.mark.parametrize("seed", range(3))
def test_planted_sessions_are_found_by_features(seed: int) -> None:
    features, labels, truth = planted(seed)
    images = image_set(labels)
    sessions = find_sessions(images, nobody(images), by_features(features, labels))
    assert min(precision_and_recall(sessions, truth)) >= 0.95


def test_independent_pictures_are_left_alone_and_so_are_those_sorted_by_kind() -> None:
    joined = pictures = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 150)
        features = rng.normal(size=(300, 64)).astype(np.float32)
        # 5 kinds, one after the other, whose pictures resemble each other as those of a kind do.
        features[seed % 2 :] += 0.8 * np.repeat(rng.normal(size=(10, 64)), 30, axis=0)[seed % 2 :]
        images = image_set(labels)
        joined += find_sessions(images, nobody(images), by_features(features, labels)).pictures
        pictures += 300
    assert joined < 0.01 * pictures


def frames(seed: int, count: int) -> list[np.ndarray]:
    """(32, 32, 3) crops of a picture that wander."""
    rng = np.random.default_rng(seed)
    whole, corner = scene(seed), np.array([10.0, 10.0])
    out = []
    for _ in range(count):
        corner = np.clip(corner + rng.normal(0, 2, 2), 0, 19)
        box = (corner[0], corner[1], corner[0] + 76, corner[1] + 76)
        out.append(np.asarray(whole.resize((32, 32), Image.Resampling.BILINEAR, box=box)))
    return out


def planted_pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thumbs, labels and sessions, as ``planted``."""
    thumbs, labels, sessions = [], [], []
    for label in range(2):
        for k in range(40):
            size = 6 if k % 5 == 0 else 1
            thumbs += frames(100 * label + k, size)
            labels += [label] * size
            sessions += [100 * label + k if size > 1 else -1] * size
    return np.array(thumbs), np.array(labels), np.array(sessions)


def test_planted_sessions_are_found_by_pixels_and_single_pictures_are_left_alone() -> None:
    thumbs, labels, truth = planted_pictures()
    images = image_set(labels, thumbs=thumbs)
    assert min(precision_and_recall(find_sessions(images, nobody(images), by_pixels(images)), truth)) >= 0.95
    alone = truth < 0
    images = image_set(labels[alone], thumbs=thumbs[alone])
    assert not find_sessions(images, nobody(images), by_pixels(images)).groups


def test_names_without_an_order_and_arrays_have_no_sessions() -> None:
    features, labels, _ = planted()
    likeness = by_features(features, labels)
    shuffled = [f"{i:04d}.jpg" for i in np.random.default_rng(0).permutation(len(labels))]
    nameless = ["x" * (i + 1) + ".jpg" for i in range(len(labels))]
    for images in (image_set(labels, shuffled), image_set(labels, nameless)):
        assert not find_sessions(images, nobody(images), likeness).groups
    arrays = replace(image_set(labels), headers=[])
    assert not find_sessions(arrays, nobody(arrays), likeness).groups
    with pytest.raises(RequestError, match=r"data\.group=auto has no effect on pictures"):
        audit_images(arrays, DataSpec(group="auto"))


def test_times_say_more_than_names() -> None:
    features, labels, truth = planted()
    rng = np.random.default_rng(1)
    names = [f"{i:04d}.jpg" for i in rng.permutation(len(labels))]
    # A picture each minute, and two hours between sessions.
    new = np.r_[True, (truth[1:] != truth[:-1]) | (truth[1:] < 0)]
    times = np.cumsum(np.where(new, 7200, 60))
    headers = [replace(JPEG, taken=int(t), camera="A") for t in times]
    images = image_set(labels, names, headers)
    assert (
        min(precision_and_recall(find_sessions(images, nobody(images), by_features(features, labels)), truth))
        >= 0.95
    )


def test_a_burst_is_a_session_unless_the_clock_stands_still() -> None:
    labels, nothing = np.repeat([0, 1], 100), np.zeros((200, 4), np.float32)
    times = np.arange(200) * 1000
    times[10:15] = times[10] + np.arange(5)
    images = image_set(labels, headers=[replace(JPEG, taken=int(t), camera="A") for t in times])
    sessions = find_sessions(images, nobody(images), by_features(nothing, labels))
    assert sessions.groups == ((10, 11, 12, 13, 14),)
    assert sessions.bursts == 4
    times[: MOST_A_SECOND + 1] = 0
    images = image_set(labels, headers=[replace(JPEG, taken=int(t), camera="A") for t in times])
    assert not find_sessions(images, nobody(images), by_features(nothing, labels)).groups


def test_when_and_by_what_a_picture_was_taken_is_read_from_its_header() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 1"
    exif.get_ifd(0x8769)[0x9003] = "2024:02:29 10:00:05"
    out = io.BytesIO()
    scene(0).save(out, "JPEG", exif=exif)
    header = probe(out.getvalue())
    assert (header.taken, header.camera) == (1709200805, "Maker Model 1")
    exif.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    out = io.BytesIO()
    scene(0).save(out, "JPEG", exif=exif)
    assert probe(out.getvalue()).taken is None


def test_what_sessions_do_to_accuracy() -> None:
    """Labels that say nothing: only a picture of the same session gives the right class away."""
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(100), 4)
    labels = rng.integers(0, 2, 100)[owners]
    features = rng.normal(size=(100, 32))[owners] + 0.1 * rng.normal(size=(400, 32))
    images = image_set(labels)
    groups = tuple(tuple(np.flatnonzero(owners == k).tolist()) for k in range(100))
    seen = np.arange(400) < 320
    likeness = by_features(features.astype(np.float32), labels)
    nearest = nearest_right(images, Sessions(groups), seen, likeness)
    assert nearest is not None
    assert (nearest.pictures, nearest.right) == (320, 320)
    assert 0.3 < nearest.right_apart / 320 < 0.7
    assert nearest_right(images, Sessions(groups), ~seen & False, likeness) is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    thumbs, labels, _ = planted_pictures()
    root = tmp_path_factory.mktemp("sessions") / "pets"
    for i, (thumb, label) in enumerate(zip(thumbs, labels, strict=True)):
        path = root / ("cat", "dog")[label] / f"frame{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(thumb).save(path)
    return root


def test_the_audit_shows_sessions_and_group_auto_keeps_them_together(folder: Path) -> None:
    images = load_source(folder)
    audit = audit_images(images, DataSpec())
    split = split_images(images, DataSpec(), 0, audit.groups, audit.excluded)
    finding = next(f for f in audit.after_split(images, split).findings if f.kind == "sessions")
    assert finding.severity == "warning"
    assert finding.count == len({i for g in finding.groups for i in g}) == audit.sessions.pictures
    assert "by their pixels alone" in finding.sentence
    assert "where the pictures of the same session do not count" in finding.sentence
    assert "data.group" in finding.advise("terminal")
    spec = DataSpec(group="auto")
    audit = audit_images(images, spec)
    split = split_images(images, spec, 0, audit.groups, audit.excluded)
    for group in audit.sessions.groups:
        assert (
            sum(bool(set(group) & set(part.tolist())) for part in (split.train, split.validation, split.test))
            == 1
        )
    assert next(f for f in audit.findings if f.kind == "sessions").severity == "note"


def test_sessions_are_sought_once(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONVICTION_HOME", str(tmp_path))
    images = load_source(folder)
    before = audit_images(images, DataSpec()).sessions
    assert before.groups
    monkeypatch.setattr(audit_module, "find_sessions", lambda *_: pytest.fail("sought again"))
    assert audit_images(images, DataSpec()).sessions == before
    # Another name is another order.
    renamed = replace(images, names=[*images.names[1:], images.names[0]])
    with pytest.raises(pytest.fail.Exception, match="sought again"):
        audit_images(renamed, DataSpec())


def test_a_class_of_one_session_is_said_to_be_that() -> None:
    labels = np.repeat([0, 1], 4)
    audit = audit_images(image_set(labels), DataSpec(), kept=KeptAudit(Sessions(((0, 1, 2, 3), (4, 5)))))
    finding = next(f for f in audit.findings if f.kind == "one_session")
    assert finding.severity == "serious"
    assert finding.names == ("c0",)
