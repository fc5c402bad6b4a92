"""``data.group=auto`` from the command line: pictures on the page, and a run that keeps its sessions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageOps

import conviction
from conviction.flow.again import prepare_again
from conviction.model.backbones import weights
from tests.conftest import Cli
from tests.data.test_audit import scene
from tests.data.test_sessions import planted_pictures


@pytest.mark.full
def test_a_run_keeps_its_sessions_and_copies_where_the_weights_are_missing(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbs, labels, _ = planted_pictures()
    source = tmp_path / "pets"
    for i, (thumb, label) in enumerate(zip(thumbs, labels, strict=True)):
        path = source / ("cat", "dog")[label] / f"frame{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(thumb).save(path)
    picture = scene(9).resize((192, 192))
    picture.save(source / "cat" / "whole.png")
    ImageOps.mirror(picture.crop((20, 30, 160, 170))).save(source / "cat" / "part.png")
    shown = cli("inspect", source, "data.group=auto", "--html", tmp_path / "page.html", "--json")
    assert shown.code == 0, shown.err
    finding = next(f for f in shown.json["findings"] if f["kind"] == "sessions")
    assert finding["severity"] == "note"
    page = (tmp_path / "page.html").read_text()
    assert "seem to be of" in page
    assert "the features of EfficientNet-Lite0" in shown.json["compared"]
    assert shown.json["compared"] in page
    done = cli("fit", source, "data.group=auto", "training.epochs=1", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    kept = json.loads((tmp_path / "run" / "data.json").read_text())
    assert kept["sessions"]["eyes"] == "features"
    # The frames of sessions, 32x32, are too small for that.
    assert kept["features"]["sought"] == 2
    assert [set(pair) for pair in kept["features"]["copies"]] == [{"cat/whole.png", "cat/part.png"}]
    for group in [*kept["sessions"]["groups"], *kept["features"]["copies"]]:
        parts = [p for p in ("train", "validation", "test") if set(group) & set(kept["split"][p])]
        assert len(parts) == 1
    monkeypatch.setattr(weights, "_paths", lambda file: [])
    run = conviction.load_run(tmp_path / "run")
    again = prepare_again(run, run.config, None)
    assert again.audit.sessions.to_json(again.images) == kept["sessions"]
    assert again.audit.features is not None
    assert again.audit.features.to_json(again.images) == kept["features"]
