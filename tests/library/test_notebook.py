"""What a notebook shows: short texts, small cards, one block while a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

import conviction
from conviction.card import MOST_ROWS, card
from tests.patience import PATIENCE

CELLS = {
    "setup": "import conviction",
    "fit": "run = conviction.fit('digits', {'training.epochs': 3}, out='run')",
    "run": "run",
    "plain": "run.resume('training.epochs=4', show='plain').status",
    "silent": "quiet = conviction.fit('digits', {'training.epochs': 1}, out='quiet', show=None)",
    "figure": "run.plot_curves()",
    "explore": (
        "explored = conviction.explore('digits', {'training.epochs': 1, 'model.filters': [4, 4], 'model.dense': [16]},"
        " vary='model.kernel_size=5', seeds=1, jobs=1, out='explored')"
    ),
    "explored": "explored",
    "refused": "conviction.fit('digits', show='loud')",
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS.values()])
    folder = tmp_path_factory.mktemp("notebook")
    nbclient.NotebookClient(
        notebook,
        timeout=PATIENCE,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        allow_errors=True,
    ).execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


@pytest.mark.full
def test_fit_shows_one_block_with_steps_curves_and_no_bar_at_the_end(cells: dict[str, list[Any]]) -> None:
    (block,) = [o for o in cells["fit"] if o.output_type != "stream"]
    html = block.data["text/html"]
    for words in ("Load", "Audit", "Train", "Evaluate", "<svg", "validation"):
        assert words in html
    assert "epoch 3 of 3" not in html  # the bar has gone
    assert "var(--" not in html
    assert "".join(o.text for o in cells["fit"] if o.output_type == "stream") == ""


@pytest.mark.full
def test_other_ways_to_show(cells: dict[str, list[Any]]) -> None:
    assert cells["silent"] == []
    lines = "".join(o.text for o in cells["plain"] if o.output_type == "stream")
    assert "Evaluate" in lines
    assert "\x1b" not in lines
    (refused,) = cells["refused"]
    assert refused.evalue == "show: expected 'live', 'plain', 'log' or None; got 'loud'."
    (figure,) = cells["figure"]
    assert "image/png" in figure.data


@pytest.mark.full
def test_a_study_is_one_block_and_a_card(cells: dict[str, list[Any]]) -> None:
    (block,) = cells["explore"]
    assert "2 of 2 runs done; best so far" in block.data["text/html"]
    assert "validation accuracy" not in block.data["text/html"]  # no table of what runs
    (card,) = cells["explored"]
    assert "<table" in card.data["text/html"]


@pytest.mark.full
def test_a_run_is_a_card(cells: dict[str, list[Any]]) -> None:
    (shown,) = cells["run"]
    assert "test accuracy" in shown.data["text/html"]
    assert shown.data["text/plain"].startswith("Run('run', done, test accuracy ")


SHOWN: dict[str, Callable[[Path], Any]] = {
    "Run": conviction.load_run,
    "Inspection": lambda trained: conviction.inspect("digits", show=None),
    "ImageSet": lambda trained: conviction.load_source("digits"),
    "NetworkSummary": lambda trained: conviction.summary("digits"),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_what_is_shown_is_small_and_says_what_it_is(kind: str, trained: Path) -> None:
    value = SHOWN[kind](trained)
    assert repr(value).startswith(f"{kind}(")
    assert len(repr(value)) < 300
    html = value._repr_html_()
    assert 200 < len(html) < 10_000
    assert "<script" not in html


def test_a_card_escapes_and_has_no_end() -> None:
    shown = card("<b>", {"<i>": "<script>", "empty": ""}, ["<p>"], head=("<u>",), rows=[("<s>",)] * 40)
    for tag in ("<i>", "<script>", "<p>", "<u>", "<s>"):
        assert tag not in shown
    assert "empty" not in shown
    assert shown.count("&lt;s&gt;") == MOST_ROWS
    assert "and 10 more" in shown
