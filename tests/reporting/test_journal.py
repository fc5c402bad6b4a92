"""What a run writes down for a page that watches."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conviction.reporting import Journal, Silent
from conviction.reporting.steps import Step
from conviction.training import EpochRow, EpochTiming, Progress
from tests.conftest import run_cli

ROW = EpochRow(1, 0.5, 0.8, 0.6, 0.75, 0.001)
TIMING = EpochTiming(1, 2.0, 0.5, 50.0)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_training_is_written_down_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "events"
    run_cli(
        "fit",
        "digits",
        "training.epochs=2",
        "--out",
        str(tmp_path / "run"),
        "--quiet",
        cwd=tmp_path,
        home=tmp_path / "home",
        env={"CONVICTION_JOURNAL": str(path)},
    )
    written = lines(path)
    assert [one["at"] for one in written] == sorted(one["at"] for one in written)
    titles = [one["step"] for one in written if "step" in one]
    assert titles[0] == "Load"
    assert titles.index("Split") < titles.index("Train") < titles.index("Evaluate")
    assert [one["epochs"] for one in written if "epochs" in one] == [2]
    assert [one["epoch"]["epoch"] for one in written if "epoch" in one] == [1, 2]
    moments = [one for one in written if "kernels" in one]
    assert all(0 < one["x"] <= 2 for one in moments)
    kernels = moments[0]["kernels"]
    values = np.frombuffer(base64.b64decode(kernels["values"]), np.int8).reshape(kernels["shape"])
    assert values.shape[:3] == (3, 3, 1)
    assert values.std() > 0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_long_training_has_no_more_than_some_thousand_lines(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(Silent(), tmp_path / "events", clock)
    hours, step = 10, 0.1
    for call in range(round(hours * 3600 / step)):
        clock.now = call * step
        journal.progress(Progress(1, call, 10**6, 0.5, 0.8, 1000.0))
    written = [one["progress"]["images"] for one in lines(tmp_path / "events") if "progress" in one]
    assert 2_000 < len(written) < 6_000
    # A new line every fifth of a second at first.
    assert written[:3] == [2, 4, 6]


def test_kernels_are_packed_to_a_hundredth_of_the_largest(tmp_path: Path) -> None:
    kernels = np.random.default_rng(0).normal(0, 0.3, (3, 3, 3, 8)).astype(np.float32)
    clock = Clock()
    journal = Journal(Silent(), tmp_path / "events", clock)
    for value in (kernels, np.zeros_like(kernels)):
        clock.now += 1
        journal.progress(Progress(2, 30, 120, 0.5, 0.8, 1.0, value))
    packed, nothing = (one for one in lines(tmp_path / "events") if "kernels" in one)
    assert packed["x"] == 1.25
    back = (
        np.frombuffer(base64.b64decode(packed["kernels"]["values"]), np.int8)
        * packed["kernels"]["most"]
        / 127
    )
    np.testing.assert_allclose(back, kernels.ravel(), atol=0.005 * np.abs(kernels).max())
    assert not any(base64.b64decode(nothing["kernels"]["values"]))


def test_of_a_long_training_some_hundred_kernels_are_kept(tmp_path: Path) -> None:
    clock, kernels = Clock(), np.ones((3, 3, 1, 8), np.float32)
    journal = Journal(Silent(), tmp_path / "events", clock)
    for call in range(2 * 3600 * 10):  # twice a second for ten hours
        clock.now = call / 2
        journal.progress(Progress(1, call, 10**6, 0.5, 0.8, 1000.0, kernels))
    moments = [one["at"] for one in lines(tmp_path / "events") if "kernels" in one]
    assert 300 < len(moments) < 1000
    assert moments[:3] == [0.0, 0.5, 1.0]


def test_a_disk_that_takes_nothing_ends_no_training(tmp_path: Path) -> None:
    journal = Journal(Silent(), tmp_path / "missing" / "events")
    journal.step(Step("Load", ()))
    journal.training_starts(1)
    journal.progress(Progress(1, 1, 2, 0.5, 0.8, 1.0))
    journal.epoch_done(ROW, TIMING)
    journal.close()


def test_everything_is_passed_on(tmp_path: Path) -> None:
    class Heard:
        def __init__(self) -> None:
            self.calls: list[tuple[str, tuple[Any, ...]]] = []

        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: self.calls.append((name, arguments))

    heard = Heard()
    journal = Journal(heard, tmp_path / "events")  # type: ignore[arg-type]
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("loading", ("digits", "reading")),
        ("step", (Step("Load", ()),)),
        ("training_starts", (3,)),
        ("progress", (Progress(1, 1, 2, 0.5, 0.8, 1.0),)),
        ("epoch_done", (ROW, TIMING)),
        ("computing", (1, 2)),
        ("folds_done", (1.5, 3)),
        ("noticed", ("It turns.",)),
        ("close", ()),
    ]
    for name, arguments in calls:
        getattr(journal, name)(*arguments)
    assert heard.calls == calls
    shown = {name for name in vars(Silent) if not name.startswith("_")}
    assert shown == {name for name, _ in calls}


@pytest.mark.parametrize("shape", [(3, 3, 1, 8), (3, 3, 64, 512), None])
def test_kernels_are_shown_where_they_are_a_picture(shape: tuple[int, ...] | None) -> None:
    from types import SimpleNamespace

    from conviction.training.recorder import first_kernels

    kernel = None if shape is None else np.ones(shape)
    layers = [SimpleNamespace(name="normalise"), SimpleNamespace(name="conv", kernel=kernel)]
    found = first_kernels(SimpleNamespace(layers=layers))
    assert (None if found is None else found.shape) == (shape if shape == (3, 3, 1, 8) else None)
