"""An export of a small network in each format, and a folder that must stay as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conviction.config.model import Conv2D, Dense, GlobalAveragePooling2D, ModelSpec
from tests.conftest import artefact, made_once
from tests.hostile.models import export

SMALL = ModelSpec(
    layers=(Conv2D(filters=4, activation="relu"), GlobalAveragePooling2D(), Dense(units=4, activation="relu"))
)
# By the name of a format: an export of a small network.
Ours = Callable[[str], Path]


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Ours:
    def of_format(form: str) -> Path:
        def make(folder: Path) -> None:
            export(form, folder, SMALL)

        return artefact(made_once(tmp_path_factory, f"hostile-{form}", make), form)

    return of_format


@pytest.fixture
def beside_others(tmp_path: Path) -> Iterator[Path]:
    """A folder for the files of a test, beside one that stays as it is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path, outside, outside / "kept")}
    yield tmp_path
    assert [p.name for p in outside.iterdir()] == ["kept"]
    assert all(p.stat().st_mtime_ns == time for p, time in before.items() if p != tmp_path)
