"""A run as Python users hold it: its tables are its files, every form of an argument means the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, confusion_matrix

import conviction
from conviction import Run
from conviction.config import load_recipe
from conviction.errors import RequestError, RunError, SourceNotFoundError
from conviction.runs import RunFolder, open_run

SMALL = {"recipe": "lab", "training.epochs": 1, "model.filters": [4]}


@pytest.fixture(scope="session")
def run(trained: Path) -> Run:
    return conviction.load_run(trained)


def test_history_is_the_csv(run: Run) -> None:
    written = pd.read_csv(run.path / "history.csv", index_col="epoch")
    pd.testing.assert_frame_equal(run.history[written.columns], written, rtol=1e-12)


def test_predictions_are_those_of_the_model(run: Run) -> None:
    table = run.predictions
    assert table["part"].value_counts().to_dict() == {"train": 1295, "test": 359, "validation": 143}
    for part, score in run.evaluation.parts.items():
        rows = table[table["part"] == part]
        assert accuracy_score(rows["label"], rows["predicted"]) == pytest.approx(score.accuracy)
    first = table.iloc[0]
    scan = int(first["file"].split("/")[1])
    again = run.predict([load_digits().images[scan]])
    assert again.labels == [first["predicted"]]
    columns = [f"p({name})" for name in run.class_names]
    assert again.probabilities[0] == pytest.approx(first[columns].to_numpy(float), abs=1e-5)
    assert first["label"] == str(load_digits().target[scan])


def test_tables_of_scores_agree_with_predictions(run: Run) -> None:
    rows = run.predictions[run.predictions["part"] == "test"]
    expected = confusion_matrix(rows["label"], rows["predicted"], labels=run.class_names)
    assert np.array_equal(run.confusion.to_numpy(), expected)
    assert run.confusion.index.tolist() == run.confusion.columns.tolist() == run.class_names
    assert run.per_class.loc["3", "recall"] == pytest.approx(expected[3, 3] / expected[3].sum())
    assert run.scores.loc["test", "images"] == 359
    assert run.scores.loc["test", "accuracy_low"] < run.scores.loc["test", "accuracy"]


@pytest.mark.parametrize("part", [None, "train", "validation", "test"])
def test_all_mistakes_are_listed_the_surest_first(run: Run, part: str | None) -> None:
    listed = run.mistakes(part)
    score = run.evaluation.parts[part or "test"]
    assert len(listed) == round(score.n * (1 - score.accuracy))
    assert (listed["label"] != listed["predicted"]).all()
    assert listed["probability"].is_monotonic_decreasing


def test_suspects_are_those_of_the_report_and_of_validation(run: Run) -> None:
    listed = run.suspects()
    assert set(listed["part"]) <= {"test", "validation"}
    assert (listed["label"] != listed["proposed"]).all()
    assert listed["margin"].is_monotonic_decreasing


def test_a_part_that_does_not_exist_or_is_sealed_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="part: expected one of train, validation, test; got 'exam'"):
        run.mistakes("exam")
    sealed = conviction.fit("digits", {**SMALL, "evaluation.test": False}, out=tmp_path / "run", show=None)
    assert repr(sealed).startswith(f"Run('{tmp_path}/run', done, validation accuracy ")
    assert set(sealed.predictions["part"]) == {"train", "validation"}
    with pytest.raises(RunError, match=r"sealed.*conviction\.evaluate\("):
        sealed.mistakes("test")
    assert len(sealed.mistakes()) >= 0
    opened = sealed.evaluate(show=None)
    assert "Evaluation" in repr(opened)
    # What had been read before is read again.
    assert set(sealed.predictions["part"]) == {"train", "validation", "test"}
    assert "test accuracy" in repr(sealed)


@pytest.mark.parametrize("name", ["curves", "confusion", "reliability", "mistakes"])
def test_a_figure_is_drawn_and_a_notebook_shows_it(run: Run, name: str) -> None:
    figure = getattr(run, f"plot_{name}")()
    shown = Image.open(io.BytesIO(figure._repr_png_()))
    assert np.asarray(shown.convert("L")).std() > 5
    assert shown.width > 400


def test_mistakes_show_the_pictures_that_they_name(run: Run) -> None:
    figure = run.plot_mistakes(2)
    first = run.mistakes().iloc[0]
    images = run.images()
    row = images.names.index(first["file"])
    assert np.array_equal(figure.axes[0].images[0].get_array(), images.pixels[row].squeeze())
    assert figure.axes[0].get_title().startswith(f"{first['label']}, called {first['predicted']}")
    assert len(figure.axes) == min(2, len(run.mistakes()))
    with pytest.raises(RequestError, match="expected a number of pictures from 1; got 0"):
        run.plot_mistakes(0)


RUNS: dict[str, Callable[[Run], Any]] = {
    "run": lambda run: run,
    "opened folder": lambda run: open_run(run.path),
    "path": lambda run: run.path,
    "text": lambda run: str(run.path),
}


@pytest.mark.parametrize("form", RUNS)
def test_a_run_may_be_given_in_every_form(run: Run, form: str) -> None:
    given = RUNS[form](run)
    assert conviction.load_run(given).path == run.path
    picture = load_digits().images[:1]
    assert conviction.predict(given, picture).labels == run.predict(picture).labels
    assert conviction.explain(given, picture).likeliest[0] == run.explain(picture).likeliest[0]
    assert conviction.report(given, show=None)[0] == run.path / "report.html"


@pytest.mark.parametrize("verb", ["load_run", "evaluate", "export", "report", "resume"])
def test_what_is_no_run_is_refused_with_the_reason(verb: str) -> None:
    with pytest.raises(RequestError, match="run: expected a run, or the path of its folder; got 5"):
        getattr(conviction, verb)(5)
    with pytest.raises(RunError, match="no such run folder"):
        getattr(conviction, verb)("nowhere")


KEYS: dict[str, Any] = {
    "flat": {"training.epochs": 3, "model.filters": [4], "data.image_size": [16, 16]},
    "nested": {"training": {"epochs": 3}, "model": {"filters": [4]}, "data": {"image_size": [16, 16]}},
    "mixed": {"training": {"epochs": 3}, "model.filters": [4], "data.image_size": [16, 16]},
    "NumPy": {
        "training.epochs": np.int64(3),
        "model.filters": np.array([4]),
        "data.image_size": (np.int32(16), 16),
    },
    "texts": ["training.epochs=3", "model.filters=[4]", "data.image_size=16"],
    "tuple of texts": ("training.epochs=3", "model.filters=[4]", "data.image_size=16"),
    "recipe": load_recipe(["training.epochs=3", "model.filters=[4]", "data.image_size=16"]),
}


@pytest.mark.parametrize("form", KEYS)
def test_keys_may_be_given_in_every_form(form: str) -> None:
    recipe = load_recipe(KEYS[form])
    assert recipe.training.epochs == 3
    assert recipe.data.image_size == (16, 16)
    assert recipe.model == load_recipe({"model.filters": [4]}).model
    assert load_recipe("training.epochs=3").training.epochs == 3


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (5, "overrides: expected keys and values .*; got 5"),
        ([5], "overrides: expected keys and values"),
        ("training.epochs", "Expected KEY=VALUE"),
        ({"training": {"epoch": 3}}, r"training\.epoch'.*training\.epochs"),
        ({"training": {"epochs": 3}, "training.epochs": 4}, "the key 'training.epochs' is given twice"),
    ],
)
def test_other_keys_are_refused_with_the_reason(keys: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        load_recipe(keys)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("pair")
    first = conviction.fit("digits", SMALL, out=folder / "first", show=None)
    second = conviction.fit("digits", first.config, out=folder / "second", show=None)
    return first, second


def test_runs_are_compared_one_by_one_or_as_a_list(pair: tuple[Run, Run]) -> None:
    first, second = pair
    answers = [
        conviction.compare(first, second),
        conviction.compare([first, second.path]),
        conviction.compare(str(first.path), second),
        first.compare(second),
        first.compare([second]),
    ]
    assert {a.pairs[0].difference for a in answers} == {0.0}
    assert all(a.n == 359 for a in answers)
    assert len(repr(answers[0])) < 300
    with pytest.raises(RequestError, match="at least two runs; got 1"):
        conviction.compare(first)


def test_the_config_of_a_run_makes_the_same_run(pair: tuple[Run, Run]) -> None:
    first, second = pair
    pd.testing.assert_frame_equal(first.history, second.history)


def test_formats_may_be_one_text(pair: tuple[Run, Run]) -> None:
    assert [e.format for e in pair[0].export("script", show=None)] == ["script"]
    with pytest.raises(RequestError, match=r"got 'onx'.*onnx"):
        pair[0].export("onx")


def test_resume_gives_a_run_with_more_epochs(tmp_path: Path) -> None:
    run = conviction.fit("digits", SMALL, out=tmp_path / "run", show=None)
    assert len(run.history) == 1
    more = run.resume("training.epochs=2", show=None)
    assert isinstance(more, Run)
    assert len(more.history) == len(run.history) == 2


def test_paths_are_predicted(run: Run, tmp_path: Path) -> None:
    for i in range(3):
        scan = (load_digits().images[i] * 255 / 16).astype(np.uint8)
        Image.fromarray(scan).save(tmp_path / f"{i}.png")
    answers = run.predict(tmp_path)
    assert answers.labels == ["0", "1", "2"]
    assert answers.files == [str(tmp_path / f"{i}.png") for i in range(3)]
    assert run.predict([tmp_path / "2.png", str(tmp_path / "0.png")]).labels == ["2", "0"]
    assert run.explain(tmp_path / "1.png").likeliest[0][0] == "1"
    with pytest.raises(SourceNotFoundError):
        run.predict("nowhere.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    with pytest.raises(RequestError, match=r"broken\.png cannot be read"):
        run.predict(tmp_path)


def test_runs_are_listed(pair: tuple[Run, Run]) -> None:
    listed = conviction.list_runs(pair[0].path.parent)
    assert [r.path.name for r in listed] == ["first", "second"]
    assert all(isinstance(r, Run) for r in listed)
    assert conviction.list_runs("nowhere") == []


def test_a_run_is_a_run_folder(run: Run) -> None:
    assert isinstance(run, RunFolder)
    assert run.epoch_rows[0].loss == run.history["loss"].iloc[0]
