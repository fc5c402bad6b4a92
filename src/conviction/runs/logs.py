"""Watching a run from outside: TensorBoard and MLflow, each an extra; both get what their users expect to find.

The ``logs.json`` of a run says what it logs, so that ``conviction resume`` goes on there. It names no server: a folder
that somebody has sent must not decide to whom this machine speaks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Annotated, Any, Literal, Protocol

from pydantic import Field

from conviction.audience import option
from conviction.backend import import_keras, quiet_stderr
from conviction.config import Recipe
from conviction.config.flat import by_key
from conviction.errors import RequestError, RunFileError, StorageError
from conviction.process import default_variable
from conviction.runs import folder
from conviction.runs.content import Content, read_content
from conviction.runs.inside import inner_folder
from conviction.runs.reading import read_run_file
from conviction.training import EpochRow

EXPERIMENT = "conviction"
# What MLflow keeps of the run folder.
ARTIFACTS = (
    folder.CONFIG,
    folder.DATA,
    folder.HISTORY,
    folder.MODEL,
    folder.EVALUATION,
    folder.REPORT,
    folder.ENVIRONMENT,
)


# In MLflow's words.
Outcome = Literal["FINISHED", "KILLED", "FAILED"]


class Log(Protocol):
    """Where a run is logged."""

    name: str

    def begin(self, recipe: Recipe) -> None:
        """The specification, before training."""

    def epoch_done(self, row: EpochRow) -> None:
        """The figures of an epoch."""

    def end(self, run: Path, outcome: Outcome, scores: Mapping[str, float]) -> None:
        """The final figures by name, of which a run that did not finish has none, and the files of the run."""


class _MlflowRun(Content):
    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,255}$")]


class LogsRequested(Content):
    """The content of ``logs.json``.

    Attributes:
        tensorboard: Whether the run logs for TensorBoard, in its own folder.
        mlflow: Its run on an MLflow server; which server that is stays with the person who named it.
    """

    tensorboard: bool = False
    mlflow: _MlflowRun | None = None


def read_logs(run: Path) -> LogsRequested:
    """What the run folder says about logs; nothing, where it has no ``logs.json``.

    Raises:
        RunFileError: The file cannot be read, or is damaged.
    """
    path = run / folder.LOGS
    if not os.path.lexists(path):
        return LogsRequested()
    try:
        return read_run_file(path, lambda p: read_content(p, LogsRequested))
    except RunFileError as failure:
        raise RunFileError(
            f"{failure} Remove it, and the run goes on without logs.", failure.reason
        ) from None


def request_logs(run: Path, *, tensorboard: bool, mlflow: str | None) -> None:
    """Notes in the run folder what is logged, and begins a run on the MLflow server if there is none.

    Raises:
        RequestError: The package is not installed, or the MLflow server cannot be reached.
    """
    before = read_logs(run)
    wanted: dict[str, Any] = {}
    if tensorboard or before.tensorboard:
        wanted["tensorboard"] = True
    if before.mlflow:
        wanted["mlflow"] = before.mlflow.model_dump()
    elif mlflow:
        wanted["mlflow"] = {"run_id": _new_mlflow_run(mlflow, run)}
    if tensorboard or (mlflow and not before.mlflow):
        folder.write_record(run / folder.LOGS, wanted)


def check_logs(*, tensorboard: bool, mlflow: str | None, run: Path | None = None) -> None:
    """Refuses early what ``request_logs`` would refuse after the data has been loaded.

    Args:
        tensorboard: As there.
        mlflow: As there.
        run: A run that goes on, whose run on that server must be there.

    Raises:
        RequestError: As there.
    """
    if tensorboard:
        _record_writer()
    before = read_logs(run).mlflow if run is not None else None
    if mlflow and before is not None:
        _check_mlflow_run(mlflow, before.run_id)
    elif mlflow:
        _experiment(mlflow)


def open_logs(run: Path, mlflow: str | None = None) -> list[Log]:
    """The logs that were requested for this run, none of which writes before the run starts; usually there are none.

    Args:
        run: The run folder.
        mlflow: The MLflow server that the person who runs the command has named; no other is ever spoken to.
    """
    wanted = read_logs(run)
    logs: list[Log] = []
    if wanted.tensorboard:
        logs.append(TensorBoardLog(run))
    if wanted.mlflow and mlflow:
        logs.append(MlflowLog(mlflow, wanted.mlflow.run_id))
    return logs


def logs_left_out(run: Path, mlflow: str | None) -> list[str]:
    """That a run which goes on does not log where it did, in sentences; none if it does."""
    if mlflow or read_logs(run).mlflow is None:
        return []
    return [
        f"This run logged to MLflow before; {folder.LOGS} alone makes no connection. To go on there, name the server "
        f"with {option('mlflow')}."
    ]


class Logs:
    """All logs of a run. One that fails is dropped: a tracking server that goes away must not end a training."""

    def __init__(self, logs: Sequence[Log], tell: Callable[[str], None]) -> None:
        self._open, self._tell = list(logs), tell

    def begin(self, recipe: Recipe) -> None:
        """See ``Log``."""
        self._each(lambda log: log.begin(recipe))

    def epoch_done(self, row: EpochRow) -> None:
        """See ``Log``."""
        self._each(lambda log: log.epoch_done(row))

    def end(self, run: Path, outcome: Outcome, scores: Mapping[str, float]) -> None:
        """See ``Log``."""
        self._each(lambda log: log.end(run, outcome, scores))

    def _each(self, act: Callable[[Log], None]) -> None:
        for log in list(self._open):
            try:
                act(log)
            # Whatever the network, a disk or a database driver raises.
            except Exception as failure:
                self._open.remove(log)
                reason = " ".join(str(failure).split())[:200]
                self._tell(f"{log.name} has failed, and the run continues without it ({reason}).")


class TensorBoardLog:
    """Event files below the run folder: ``tensorboard --logdir runs`` shows every run, training beside validation.

    TensorBoard's own writer puts the name of the machine into the name of the file.
    """

    name = "TensorBoard"

    def __init__(self, run: Path) -> None:
        self._run = run
        self._writers: dict[str, Any] = {}
        self._files: dict[str, IO[bytes]] = {}

    def begin(self, recipe: Recipe) -> None:
        """The specification as text."""
        self._add("train", 0, specification=f"```yaml\n{recipe.to_yaml()}```")

    def epoch_done(self, row: EpochRow) -> None:
        """``epoch_loss`` and ``epoch_accuracy``, as Keras's own callback names them, and the learning rate."""
        self._add("train", row.epoch, epoch_loss=row.loss, epoch_accuracy=row.accuracy)
        self._add("train", row.epoch, epoch_learning_rate=row.learning_rate)
        self._add("validation", row.epoch, epoch_loss=row.val_loss, epoch_accuracy=row.val_accuracy)

    def end(self, run: Path, outcome: Outcome, scores: Mapping[str, float]) -> None:
        """The final figures, those of the test set among them."""
        for name, value in scores.items():
            part, _, figure = name.partition("_")
            self._add(part, 0, **{f"final_{figure}": value})
        for file in self._files.values():
            file.close()

    def _add(self, part: str, step: int, **values: float | str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.text.summary_v2 import text_pb

        for name, value in values.items():
            if isinstance(value, str):
                summary = text_pb(name, value)
            else:
                summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
            event = Event(wall_time=time.time(), step=step, summary=summary)
            self._writer(part).write(event.SerializeToString())
        self._files[part].flush()

    def _writer(self, part: str) -> Any:
        """For "train", "validation", "test" or "folds"; a new file each time that the run goes on."""
        if part not in self._writers:
            from tensorboard.compat.proto.event_pb2 import Event

            kind = _record_writer()
            path = inner_folder(inner_folder(self._run, folder.TENSORBOARD), part)
            self._files[part] = (path / f"events.out.tfevents.{time.time_ns()}").open("xb")
            self._writers[part] = kind(self._files[part])
            first = Event(wall_time=time.time(), file_version="brain.Event:2")
            self._writers[part].write(first.SerializeToString())
        return self._writers[part]


class MlflowLog:
    """A run of the experiment ``conviction`` on a tracking server."""

    name = "MLflow"

    def __init__(self, uri: str, run_id: str) -> None:
        self._uri, self._run = uri, run_id

    def begin(self, recipe: Recipe) -> None:
        """The specification as parameters; a resumed run has them already."""
        self._client = _client(self._uri)
        known = self._client.get_run(self._run).data.params
        for key, value in by_key(recipe.model_dump(mode="json")):
            if key not in known:
                self._client.log_param(self._run, key, str(value)[:6000])
        self._client.set_terminated(self._run, "RUNNING")

    def epoch_done(self, row: EpochRow) -> None:
        """The columns of ``history.csv``, by epoch."""
        for name, value in asdict(row).items():
            if name != "epoch":
                self._client.log_metric(self._run, name, value, step=row.epoch)

    def end(self, run: Path, outcome: Outcome, scores: Mapping[str, float]) -> None:
        """The final figures, and the files: specification, data, model, report."""
        for name, value in scores.items():
            self._client.log_metric(self._run, name, value)
        for name in ARTIFACTS:
            if (run / name).is_file():
                self._client.log_artifact(self._run, str(run / name))
        self._client.set_terminated(self._run, outcome)


def _record_writer() -> Any:
    try:
        import_keras()  # TensorBoard imports TensorFlow, which is quiet only if it comes this way
        with quiet_stderr():
            from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise RequestError(
            f"{option('tensorboard')} needs an extra: pip install 'conviction[tensorboard]'"
        ) from None
    return RecordWriter


def _client(uri: str) -> Any:
    # It prints every table that it makes in a new database.
    default_variable("MLFLOW_LOGGING_LEVEL", "WARNING")
    # With its own 7 tries of 120 s, a server that goes away would hold up training for that long.
    default_variable("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    default_variable("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise RequestError(f"{option('mlflow')} needs an extra: pip install 'conviction[mlflow]'") from None
    try:
        return MlflowClient(uri)
    except MlflowException as failure:
        raise RequestError(f"{option('mlflow')} {uri}: {failure}") from None


def _experiment(uri: str) -> str:
    """The experiment's number, made if there is none."""
    client = _client(uri)
    try:
        known = client.get_experiment_by_name(EXPERIMENT)
        return known.experiment_id if known else client.create_experiment(EXPERIMENT)
    # Whatever the client, the network or a database driver raises.
    except Exception as failure:
        reason = " ".join(str(failure).split())[:200]
        raise RequestError(f"{option('mlflow')} {uri}: cannot be reached ({reason}).") from None


def _check_mlflow_run(uri: str, run_id: str) -> None:
    """Refuses a server that does not have the run, or that cannot be reached."""
    try:
        _client(uri).get_run(run_id)
    except RequestError:
        raise
    except Exception as failure:  # as above
        reason = " ".join(str(failure).split())[:200]
        raise RequestError(
            f"{option('mlflow')} {uri}: the run that {folder.LOGS} names is not there, or it cannot be reached "
            f"({reason}). Name the server that it logged to, or leave the option out."
        ) from None


def _new_mlflow_run(uri: str, run: Path) -> str:
    number = _experiment(uri)
    try:
        return _client(uri).create_run(number, run_name=run.name).info.run_id
    except Exception as failure:
        raise StorageError(f"{option('mlflow')} {uri}: {' '.join(str(failure).split())[:200]}") from None
