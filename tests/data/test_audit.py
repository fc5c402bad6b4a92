"""The audit finds what was planted, all of it and nothing else; and inspect and fit act on it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from conviction.config import DataSpec
from conviction.data import audit_images, load_source, split_images
from conviction.data.findings import Finding
from conviction.errors import RequestError
from conviction.flow.inspect import inspect
from tests.conftest import Cli

SIDE = 96


def scene(seed: int) -> Image.Image:
    """A picture unlike all others: smooth noise under a few shapes."""
    rng = np.random.default_rng(seed)
    noise = sum(
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize(
                (SIDE, SIDE), Image.Resampling.BICUBIC
            ),
            float,
        )
        * w
        for n, w in ((3, 0.5), (7, 0.3), (20, 0.2))
    )
    picture = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(5):
        x, y, size = (int(v) for v in rng.integers(0, SIDE, 3))
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(
            (x, y, x + size // 2, y + size // 2), fill=color
        )
    return picture


def save(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


@dataclass
class Planted:
    """A folder with train/ and test/, and which files have which fault."""

    root: Path
    faults: dict[str, set[str]] = field(default_factory=dict)

    def put(self, name: str, content: bytes, *kinds: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        for kind in kinds:
            self.faults.setdefault(kind, set()).add(name)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    made = Planted(tmp_path_factory.mktemp("planted") / "animals")
    for label, name in enumerate(("cat", "dog")):
        for i in range(70):
            made.put(f"train/{name}/{i}.png", save(scene(1000 * label + i)))
        for i in range(25):
            made.put(f"test/{name}/{i}.png", save(scene(5000 + 1000 * label + i)))
    for i in range(6):  # the same picture, once in another format, within one class and part
        made.put(f"train/cat/copy{i}.bmp", save(scene(i), "BMP"), "duplicates")
        made.faults["duplicates"].add(f"train/cat/{i}.png")
    for i in range(10, 15):  # the same picture under two labels
        made.put(f"train/dog/from-cat-{i}.png", save(scene(i)), "label_conflict")
        made.faults["label_conflict"].add(f"train/cat/{i}.png")
    for i in range(20, 27):  # the same picture to learn from and to be tested by
        made.put(f"test/cat/leaked-{i}.png", save(scene(i)), "leak")
        made.faults["leak"].add(f"train/cat/{i}.png")
    for i in range(30, 34):  # the same, saved again and smaller
        again = scene(1000 + i).resize((72, 72), Image.Resampling.LANCZOS)
        made.put(f"test/dog/smaller-{i}.jpg", save(again, "JPEG", quality=80), "leak")
        made.faults["leak"].add(f"train/dog/{i}.png")
    for i in range(40, 46):  # mirrored, brightened
        other = scene(1000 + i).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        other = scene(1000 + i).point(lambda v: min(255, int(v * 1.2))) if i % 2 else other
        made.put(f"train/dog/near-{i}.png", save(other), "near_duplicates")
        made.faults["near_duplicates"].add(f"train/dog/{i}.png")
    for i in range(5):
        made.put(f"train/dog/blank{i}.png", save(Image.new("RGB", (SIDE, SIDE), (40 * i, 200, 9))), "blank")
        made.put(f"train/cat/really-png-{i}.jpg", save(scene(9000 + i)), "misnamed")
        whole = save(scene(9100 + i))
        made.put(f"train/dog/broken{i}.png", whole[: len(whole) // (i + 2)], "unreadable")
    made.put("train/cat/text.jpg", b"not a picture", "unreadable")
    made.put("train/cat/empty.png", b"", "unreadable")
    return made


@pytest.fixture(scope="module")
def found(planted: Planted) -> dict[str, tuple[Finding, set[str]]]:
    images = load_source(planted.root)
    audit = audit_images(images, DataSpec())
    return {
        f.kind: (f, {images.names[i] for g in f.groups for i in g} | set(f.names)) for f in audit.findings
    }


@pytest.mark.parametrize(
    "kind", ["duplicates", "label_conflict", "leak", "blank", "misnamed", "unreadable", "near_duplicates"]
)
def test_every_planted_fault_is_found_and_nothing_else(
    kind: str, planted: Planted, found: dict[str, tuple[Finding, set[str]]]
) -> None:
    wanted = planted.faults[kind]
    if kind == "misnamed":
        wanted = {n for n in wanted if n.endswith(".jpg")}
    finding, names = found[kind]
    recall, precision = len(wanted & names) / len(wanted), len(wanted & names) / len(names)
    assert (recall, precision) == (1.0, 1.0), (names - wanted, wanted - names)
    assert finding.sentence
    assert finding.advice


def test_severities_say_what_makes_a_test_doubtful(found: dict[str, tuple[Finding, set[str]]]) -> None:
    serious = {kind for kind, (finding, _) in found.items() if finding.severity == "serious"}
    assert serious == {"leak", "label_conflict"}
    # Sizes differ (72 and 96), and so do nothing else.
    assert {"sizes"} <= set(found)
    assert not {"imbalance", "few_images", "class_folders", "near_label_conflict"} & set(found)


def test_a_clean_set_has_no_findings(tmp_path: Path) -> None:
    clean = Planted(tmp_path / "clean")
    for label, name in enumerate(("cat", "dog")):
        for i in range(60):
            clean.put(f"{name}/{i}.png", save(scene(1000 * label + i)))
    assert audit_images(load_source(clean.root), DataSpec()).findings == ()


def balance_of(counts: dict[str, int], tmp_path: Path) -> dict[str, Finding]:
    made = Planted(tmp_path / "d")
    for label, (name, n) in enumerate(counts.items()):
        for i in range(n):
            made.put(f"{name}/{i}.png", save(scene(1000 * label + i)))
    images, spec = load_source(made.root), DataSpec()
    audit = audit_images(images, spec)
    return {
        f.kind: f for f in audit.after_split(images, split_images(images, spec, 0, audit.groups)).findings
    }


def test_imbalance_and_few_images(tmp_path: Path) -> None:
    found = balance_of({"many": 66, "few": 6}, tmp_path)
    assert found["imbalance"].severity == "warning"
    assert "11.0 times" in found["imbalance"].sentence
    assert "91.7%" in found["imbalance"].sentence
    assert "training.class_weights=balanced" in found["imbalance"].advise("terminal")
    assert "'few' has 4" in found["few_images"].sentence


def test_images_to_learn_from_are_counted_after_the_split(tmp_path: Path) -> None:
    found = balance_of({"a": 60, "b": 60}, tmp_path)
    assert "2 classes have fewer than 50 images to learn from after the split" in found["few_images"].sentence


def test_class_folders_are_matched_by_name(tmp_path: Path) -> None:
    made = Planted(tmp_path / "d")
    for i, name in enumerate(("train/ant", "train/bee", "train/cow", "test/ant", "test/Bee", "test/cow")):
        for k in range(4):
            made.put(f"{name}/{k}.png", save(scene(100 * i + k)))
    found = {f.kind: f for f in audit_images(load_source(made.root), DataSpec()).findings}
    assert found["class_folders"].severity == "serious"
    assert "test only: Bee; train only: bee" in found["class_folders"].sentence


def test_sizes_modes_and_ratios_that_differ(tmp_path: Path) -> None:
    made = Planted(tmp_path / "d")
    for label, name in enumerate(("a", "b")):
        for i in range(6):
            picture = scene(100 * label + i)
            if i == 0:
                picture = picture.resize((180, 60)).convert("L")
            made.put(f"{name}/{i}.png", save(picture))
    found = {f.kind: f for f in audit_images(load_source(made.root), DataSpec()).findings}
    assert "2 sizes, from 96x96 to 180x60" in found["sizes"].sentence
    assert found["aspect_ratios"].count == 2
    assert "2 L, 10 RGB" in found["modes"].sentence


def test_copies_share_a_part_and_user_groups_too(planted: Planted, tmp_path: Path) -> None:
    made = Planted(tmp_path / "d")
    for label, name in enumerate(("a", "b")):
        for patient in range(12):
            for shot in range(3):
                made.put(
                    f"{name}/p{label}{patient:02d}_{shot}.png",
                    save(scene(1000 * label + 10 * patient + shot)),
                )
        for i in range(8):
            made.put(
                f"{name}/mirror{i}.png",
                save(scene(1000 * label + 10 * i).transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
            )
    images = load_source(made.root)
    for spec in (DataSpec(), DataSpec(group=r"(p\d+)_"), DataSpec(group=str(tmp_path / "groups.csv"))):
        if spec.group and spec.group.endswith(".csv"):
            rows = [f"{n},{n.split('_')[0]}" for n in images.names if "_" in n]
            (tmp_path / "groups.csv").write_text("file,group\n" + "\n".join(rows))
        audit = audit_images(images, spec)
        split = split_images(images, spec, 0, audit.groups)
        home = {images.names[i]: part for part in ("train", "validation", "test") for i in split.of(part)}
        for label, name in enumerate(("a", "b")):
            for i in range(8):
                assert home[f"{name}/mirror{i}.png"] == home[f"{name}/p{label}{i:02d}_0.png"]
            if spec.group:
                for patient in range(12):
                    assert len({home[f"{name}/p{label}{patient:02d}_{shot}.png"] for shot in range(3)}) == 1


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("(patient", "not a valid regular expression"),
        ("a{99999999999}", "not a valid regular expression"),
        ("(" * 3000, "not a valid regular expression"),
        ("(nobody)", "matches none of the 24 names"),
        ("nowhere.csv", "cannot read it"),
    ],
)
def test_groups_that_cannot_be_used(group: str, words: str, tmp_path: Path) -> None:
    from tests.data import builders

    images = load_source(builders.folder(tmp_path))
    with pytest.raises(RequestError, match=words):
        audit_images(images, DataSpec(group=group))


@pytest.mark.parametrize("group", ["(a|aa)+$", "((a{1,100}){1,100}){1,100}$"])
def test_a_pattern_without_end_is_ended(group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conviction.data.group.MOST_SECONDS", 0.2)
    for name in ("one", "two"):
        (tmp_path / "made" / name).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "made" / name / f"{'a' * 200}{i}.png").write_bytes(save(scene(i)))
    images = load_source(tmp_path / "made")
    with pytest.raises(RequestError, match="searching 6 names takes longer than"):
        audit_images(images, DataSpec(group=group))


def test_inspect_writes_a_manifest_that_fit_takes(cli: Cli, planted: Planted, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in planted.root.rglob("*") if p.is_file()}
    shown = cli("inspect", planted.root, "--out", "m.csv", "--html", "audit.html")
    assert shown.code == 0, shown.err
    assert "Serious: " in shown.out
    with (tmp_path / "m.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    reasons = {r["reason"] for r in rows}
    assert {"leak", "label_conflict", "duplicates", "near_duplicates", "blank"} == reasons
    # Of copies all but one are listed; of leaks the images to learn from.
    assert {r["file"] for r in rows if r["reason"] == "leak"} <= {
        n for n in planted.faults["leak"] if "train" in n
    }
    assert sum(r["reason"] == "duplicates" for r in rows) == 6
    keys = ["training.epochs=1", "model.filters=[4]", "data.image_size=32"]
    done = cli("fit", planted.root, *keys, "--exclude", "m.csv", "--out", "run")
    assert done.code == 0, done.err
    assert "doubtful" not in done.out
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    listed = {r["file"] for r in rows}
    assert set(data["split"]["left_out"]["excluded"]) == listed
    for part in ("train", "validation", "test"):
        assert not listed & set(data["split"][part])
    assert {p: p.read_bytes() for p in planted.root.rglob("*") if p.is_file()} == before
    again = cli("inspect", planted.root, "data.exclude=m.csv", "--json").json
    assert {f["severity"] for f in again["findings"]} <= {"warning", "note"}


@pytest.mark.full
def test_serious_findings_stand_beside_the_accuracy(cli: Cli, planted: Planted, tmp_path: Path) -> None:
    keys = ["training.epochs=1", "model.filters=[4]", "data.image_size=32"]
    kept = cli("fit", planted.root, "recipe=lab", *keys, "--out", "lab")
    assert kept.code == 0, kept.err
    end = kept.out[kept.out.index("Test accuracy") :]
    assert end.count("This makes the figures doubtful") == 2
    assert "were kept (data.on_leak=keep)" in kept.out
    dropped = cli("fit", planted.root, *keys, "--out", "dropped")
    assert dropped.code == 0, dropped.err
    assert "11 images that are also in a part that must stay unseen" in dropped.out
    assert dropped.out[dropped.out.index("Test accuracy") :].count("This makes the figures doubtful") == 1
    failed = cli("fit", planted.root, *keys, "data.on_leak=fail", "--out", "failed")
    assert failed.code == 2
    assert "11 training or validation images also appear" in failed.err
    assert not (tmp_path / "failed").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read it"),
        ("name\nx\n", "a column 'file'"),
        ("file\ntrain/cat/nobody.png\n", "not in"),
    ],
)
def test_lists_that_cannot_be_used(
    content: str | None, words: str, cli: Cli, planted: Planted, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "list.csv").write_text(content)
    result = cli("fit", planted.root, "--exclude", "list.csv")
    assert result.code == 2
    assert words in result.err
    assert not (tmp_path / "runs").exists()


def test_inspect_in_python_and_its_page(planted: Planted, tmp_path: Path) -> None:
    found = inspect(planted.root, html=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for finding in found.audit.findings:
        assert finding.sentence.split(":")[0].replace("'", "&#39;") in page
    assert 'src="data:image/png' in page
    with pytest.raises(RequestError, match="name of a file"):
        inspect(planted.root, html=tmp_path)
