"""The process that looks inside: it answers, refuses, rests, comes back, and ends with its owner."""

from __future__ import annotations

import asyncio
import shutil
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest

from conviction.errors import ConvictionError, RequestError
from conviction.runs import open_run
from conviction.runs.folder import CHECKPOINTS, EVALUATION, MODEL
from conviction.web.inside import Inspector
from conviction.web.jobs.helper import Helper
from tests.patience import PATIENCE


@pytest.mark.full
def test_it_rests_when_idle_and_comes_back(trained: Path, tmp_path: Path) -> None:
    async def walk() -> None:
        opened = await inspector.open(trained)
        assert opened.class_names == list("0123456789")
        with pytest.raises(RequestError, match="there is no such run folder"):
            await inspector.open(tmp_path / "none")
        with pytest.raises(RequestError, match="expected a validation image from 0 to"):
            await inspector.look(trained, opened.pictures)
        with pytest.raises(RequestError, match="Did you mean 'conv_1'"):
            await inspector.close_up(trained, 0, "conv1", (0, 0, 0))
        with pytest.raises(RequestError, match="expected one picture"):
            await inspector.look(trained, np.zeros((3, 3, 1), np.uint8))
        with pytest.raises(RequestError, match="cannot be read as a picture"):
            await inspector.decode(trained, b"no picture")
        first = helper._process
        assert first is not None
        assert first.is_alive()
        helper.idle = 0.01
        one = await inspector.look(trained, 0)
        # Not by join: the helper's own thread waits for this process too, and only one of them gets its end.
        assert wait([first.sentinel], PATIENCE)
        helper.idle = 60.0
        again = await inspector.look(trained, 0)
        assert np.array_equal(one.probabilities, again.probabilities)
        assert helper.pid not in (None, first.pid)

    helper = Helper()
    inspector = Inspector(helper)
    asyncio.run(walk())
    last = helper._process
    assert last is not None
    helper.close()
    last.join(PATIENCE)
    assert helper.pid is None
    with pytest.raises(ConvictionError, match="being closed"):
        asyncio.run(walk())


@pytest.mark.full
def test_a_run_that_still_learns_is_seen_at_its_last_checkpoint(trained: Path, tmp_path: Path) -> None:
    """A finished run without its evaluation is one that has only its checkpoints; the last one is what was kept."""
    learning = tmp_path / "learning"
    shutil.copytree(trained, learning)
    for name in (EVALUATION, MODEL):
        (learning / name).unlink()

    async def look(run: Path) -> tuple[int | None, np.ndarray]:
        opened = await inspector.open(run)
        return opened.epoch, (await inspector.look(run, 3)).probabilities

    async def both() -> None:
        (none, ended), (epoch, at) = await look(trained), await look(learning)
        assert none is None
        assert epoch == len(open_run(trained).epoch_rows)
        assert np.allclose(ended, at, atol=1e-6)
        for file in (learning / CHECKPOINTS).iterdir():
            file.unlink()
        with pytest.raises(ConvictionError, match="no checkpoint yet"):
            await inspector.open(learning)

    helper = Helper()
    inspector = Inspector(helper)
    try:
        asyncio.run(both())
    finally:
        helper.close()
