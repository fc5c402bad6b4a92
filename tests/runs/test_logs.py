"""TensorBoard and MLflow, read back with the libraries of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import conviction
from conviction.runs.logs import Logs
from conviction.training import EpochRow
from tests.conftest import Cli

KEYS = ["recipe=lab", "model.filters=[4]", "training.epochs=2"]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that logs to both, and that went on to a third epoch."""
    from tests.conftest import run_cli

    place = tmp_path_factory.mktemp("logged")
    database = f"sqlite:///{place}/mlflow.db"
    first = run_cli(
        "fit", "digits", *KEYS, "--tensorboard", "--mlflow", database, "--out", "run", cwd=place, home=place
    )
    assert first.code == 0, first.err
    assert first.err == "", "nobody asked what a database driver does"
    more = run_cli("resume", "run", "training.epochs=3", "--mlflow", database, cwd=place, home=place)
    assert more.code == 0, more.err
    return place


@pytest.mark.full
def test_tensorboard_reads_curves_specification_and_final_figures(logged: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = conviction.load_run(logged / "run")
    read = {}
    for part in ("train", "validation", "test"):
        read[part] = EventAccumulator(str(logged / "run" / "tensorboard" / part))
        read[part].Reload()

    def curve(part: str, tag: str) -> list[float]:
        events = read[part].Scalars(tag)
        assert [e.step for e in events] == [1, 2, 3]
        return [e.value for e in events]

    assert curve("train", "epoch_loss") == pytest.approx([row.loss for row in run.epoch_rows])
    assert curve("validation", "epoch_accuracy") == pytest.approx(
        [row.val_accuracy for row in run.epoch_rows]
    )
    assert curve("train", "epoch_learning_rate") == pytest.approx([0.001] * 3)
    final = read["test"].Scalars("final_accuracy")[-1].value
    assert final == pytest.approx(run.evaluation.accuracy)
    text = read["train"].Tensors("specification")[-1].tensor_proto.string_val[0].decode()
    assert "optimizer: adam" in text


# SQLAlchemy 2.1 deprecates what MLflow 3.17 uses.
@pytest.mark.full
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlflow_reads_parameters_curves_figures_and_files(logged: Path) -> None:
    from mlflow.tracking import MlflowClient

    run = conviction.load_run(logged / "run")
    client: Any = MlflowClient(f"sqlite:///{logged}/mlflow.db")
    experiment = client.get_experiment_by_name("conviction")
    found = client.search_runs([experiment.experiment_id])
    assert len(found) == 1, "a resumed run goes on in its own"
    number = json.loads((logged / "run" / "logs.json").read_text())["mlflow"]["run_id"]
    assert found[0].info.run_id == number
    assert found[0].info.run_name == "run"
    assert found[0].info.status == "FINISHED"
    assert found[0].data.params["training.batch_size"] == "64"
    curve = client.get_metric_history(number, "val_loss")
    assert [(m.step, m.value) for m in curve] == [
        (row.epoch, pytest.approx(row.val_loss)) for row in run.epoch_rows
    ]
    assert found[0].data.metrics["test_accuracy"] == pytest.approx(run.evaluation.accuracy)
    files = {f.path for f in client.list_artifacts(number)}
    assert {"config.yaml", "model.keras", "report.html", "evaluation.json"} <= files


def test_a_server_that_cannot_be_reached_is_refused_before_anything_is_written(
    cli: Cli, tmp_path: Path
) -> None:
    result = cli(
        "fit",
        "digits",
        *KEYS,
        "--mlflow",
        "http://127.0.0.1:9",
        "--out",
        "run",
        env={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
    )
    assert result.code == 2
    assert result.err.startswith("conviction: --mlflow http://127.0.0.1:9: cannot be reached")
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", [["--tensorboard"], ["--mlflow", "sqlite:///x.db"]])
def test_without_the_extra_it_says_what_to_install(
    option: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    name = option[0].removeprefix("--")
    for module in [m for m in sys.modules if m.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    given: dict[str, Any] = {"tensorboard": True} if name == "tensorboard" else {"mlflow": option[1]}
    with pytest.raises(conviction.ConvictionError, match=rf"pip install 'conviction\[{name}\]'"):
        conviction.fit("digits", KEYS, out=tmp_path / "run", **given)


class Failing:
    """A log whose server goes away after the first epoch."""

    name = "MLflow"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def begin(self, recipe: Any) -> None:
        self.asked.append("begin")

    def epoch_done(self, row: EpochRow) -> None:
        self.asked.append(f"epoch {row.epoch}")
        if row.epoch == 2:
            raise ConnectionError("the server\nhas gone")

    def end(self, run: Path, outcome: str, scores: Any) -> None:
        self.asked.append(outcome)


class Good(Failing):
    name = "TensorBoard"

    def epoch_done(self, row: EpochRow) -> None:
        self.asked.append(f"epoch {row.epoch}")


def test_a_log_that_fails_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    said: list[str] = []
    failing, good = Failing(), Good()
    logs = Logs([failing, good], said.append)
    logs.begin(conviction.config.load_recipe())
    for epoch in (1, 2, 3):
        logs.epoch_done(EpochRow(epoch, 1.0, 0.5, 1.0, 0.5, 0.001))
    logs.end(tmp_path, "FINISHED", {})
    assert failing.asked == ["begin", "epoch 1", "epoch 2"]
    assert good.asked == ["begin", "epoch 1", "epoch 2", "epoch 3", "FINISHED"]
    assert said == ["MLflow has failed, and the run continues without it (the server has gone)."]


@pytest.mark.full
def test_a_run_goes_on_without_its_tracking_database_and_is_refused_with_a_lost_one(
    tmp_path: Path, cli: Cli
) -> None:
    """Between the first epochs and the next, somebody removes it."""
    database = f"sqlite:///{tmp_path}/mlflow.db"
    assert cli("fit", "digits", *KEYS, "--mlflow", database, "--out", "run").code == 0
    assert "mlflow.db" not in (tmp_path / "run" / "logs.json").read_text(), "no server is named"
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    refused = cli("resume", "run", "training.epochs=3", "--mlflow", database)
    assert refused.code == 2
    assert len(refused.err.strip().splitlines()) == 1, refused.err
    result = cli("resume", "run", "training.epochs=3")
    assert result.code == 0, result.err
    assert "To go on there, name the server with --mlflow" in " ".join(result.out.split())
    assert "Traceback" not in result.err
    assert len(conviction.load_run(tmp_path / "run").epoch_rows) == 3


# SQLAlchemy 2.1 deprecates what MLflow 3.17 uses.
@pytest.mark.full
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_that_diverges_is_not_left_running_in_mlflow(tmp_path: Path, cli: Cli) -> None:
    from mlflow.tracking import MlflowClient

    database = f"sqlite:///{tmp_path}/mlflow.db"
    keys = ["recipe=lab", "training.optimizer=sgd", "training.learning_rate=100", "model.activation=silu"]
    assert cli("fit", "digits", *keys, "--mlflow", database, "--out", "run").code == 1
    number = json.loads((tmp_path / "run" / "logs.json").read_text())["mlflow"]["run_id"]
    assert MlflowClient(database).get_run(number).info.status == "FAILED"
