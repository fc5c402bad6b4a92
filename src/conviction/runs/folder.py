"""The run folder: made once, written atomically, file by file."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction.audience import option, typed
from conviction.backend import quiet_stderr
from conviction.config import Recipe
from conviction.config.text import read_json
from conviction.data import DecodingRule
from conviction.errors import OutputError, RunError, StorageError
from conviction.version import SCHEMA

if TYPE_CHECKING:
    import keras

CONFIG = "config.yaml"
DATA = "data.json"
HISTORY = "history.csv"
TIMING = "timing.csv"
MODEL = "model.keras"
EVALUATION = "evaluation.json"
REPORT = "report.html"
ENVIRONMENT = "environment.json"
RATES = "learning_rate.json"
PREDICTIONS = "predictions.npz"
FOLDS = "folds.npz"
CHECKPOINTS = "checkpoints"
EARLIER_EVALUATION = "evaluation-after-{}-epochs.json"
LOGS = "logs.json"
NOTE = "note.txt"
TENSORBOARD = "tensorboard"
EXPORTS = "exports"

# Everything that a run folder can hold, and what it is for; the README has the same table.
FILES = {
    CONFIG: "the whole specification, resolved; `fit --config` takes it",
    DATA: "where the images came from, classes, counts, the audit, and the split: a hash per image",
    HISTORY: "loss and accuracy per epoch, training and validation",
    TIMING: "seconds and images per second of each epoch",
    MODEL: "the network with normalisation, class names and decoding rule inside",
    EVALUATION: "training, validation and test scores, with intervals; how often the test set has been opened",
    PREDICTIONS: "the probabilities of every image, by part, so that `report` and `compare` predict nothing and open "
    "nothing",
    FOLDS: "of `evaluation.folds`: what networks that had not seen an image answered for it, in each repetition",
    REPORT: "one self-contained page",
    f"{CHECKPOINTS}/": "the last two states of training, for `conviction resume`",
    ENVIRONMENT: "versions, hardware, seed, duration, peak memory",
    RATES: "the losses by learning rate, of `training.learning_rate=auto`",
    EARLIER_EVALUATION.format("N"): "the evaluation after N epochs, before `resume` trained more",
    NOTE: "a note that somebody has written about the run",
    LOGS: "what `--tensorboard` and `--mlflow` log, so that `resume` goes on there",
    f"{TENSORBOARD}/": "what `--tensorboard` logs",
    f"{EXPORTS}/": "what `conviction export` has made",
}

# A member that Keras ignores, so that the file alone says what its outputs mean.
MODEL_CARD = "conviction.json"
CARD_VERSION = 1
# The names of thousands of classes take less.
MOST_CARD = 2**20


def command(verb: str, run: Path) -> str:
    """The command for a shell that a message tells people to type."""
    return f"conviction {verb} {typed(run)}"


def check_out(out: Path) -> None:
    """Refuses early what ``create`` would refuse after the data has been loaded.

    Raises:
        OutputError: It exists and is a file, or is not empty, or cannot be made there.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: expected a new or empty folder; this is a file.")
    if out.is_dir() and any(out.iterdir()):
        raise OutputError(
            f"{out}: the folder exists and is not empty. Name another one with {option('out')}."
        )
    nearest = out
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError(
            f"{out}: {nearest} is a file, not a folder. Name another folder with {option('out')}."
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(
            f"{out}: no permission to write in {nearest}. Name another folder with {option('out')}."
        )


def check_file(path: Path) -> None:
    """Refuses early what cannot be written as a single file.

    Raises:
        OutputError: It is a folder, or the folder that it should be in does not exist.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"{path}: expected the name of a file in a folder that exists.")


def create(out: Path | None, root: Path, stem: str) -> Path:
    """Makes ``out``, or the next free ``root/stem-N``.

    Raises:
        OutputError: As for ``check_out``.
    """
    if out is not None:
        check_out(out)
        with storing(out):
            out.mkdir(parents=True, exist_ok=True)
        return out
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "run"
    check_out(root / stem / "new")
    with storing(root):
        root.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            # mkdir fails if another process took the name in the meantime.
            with contextlib.suppress(FileExistsError):
                (root / f"{stem}-{number}").mkdir()
                return root / f"{stem}-{number}"
            number += 1


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns the system's errors of writing into ours.

    Raises:
        StorageError: No space, a quota, a device that fails, a folder that was taken away: exit code 1.
        OutputError: No permission, a read-only file system, a file where a folder should be: exit code 2.
    """
    try:
        yield
    except (OutputError, StorageError):
        raise
    except OSError as failure:
        if failure.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OutputError(f"{path}: cannot be written ({failure.strerror}).") from None
        if failure.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            files = [p for p in (path, *path.parents) if p.is_file()]
            reason = f"{files[0]} is a file, not a folder" if files else failure.strerror
            raise OutputError(f"{path}: cannot be written ({reason}). Name another path.") from None
        reason = failure.strerror or str(failure)
        todo = "Nothing is half-written; try again"
        if failure.errno == errno.ENOENT:
            todo = f"{_gone(path)} does not exist: it was removed or renamed meanwhile"
        elif failure.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            todo = "Nothing is half-written; free some space and try again"
        raise StorageError(f"{path}: could not be written ({reason}). {todo}.") from None


def _gone(path: Path) -> Path:
    """The outermost folder of a path that does not exist."""
    return next((p for p in reversed(path.absolute().parents) if not p.exists()), path)


@contextlib.contextmanager
def claimed(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Keeps other processes from working in the same folder.

    The system releases the folder when this process ends, however it ends.

    Args:
        path: A folder.
        wait: Whether to wait until it is free instead of raising.

    Raises:
        RunError: Another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: folders cannot be locked like this
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        raise RunError(
            f"{path}: another process is working in this folder. Wait until it is done, or stop it."
        ) from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Yields a name beside ``path`` to write to; renames it onto ``path`` if the block succeeds.

    The content is on disk before the name is, so that after a crash the file is the old or the new one.

    Args:
        path: The file.
        mode: Its permissions; by default those of a new file.
    """
    with storing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        beside = Path(name)
        try:
            yield beside
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.chmod(0o666 & ~_umask() if mode is None else mode)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path) as beside:
        # A name of a file or folder need not be valid Unicode; what is written must be.
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically; NaN and infinity are errors, because JSON has neither."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_record(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a JSON object with the number of the schema, which says to other versions whether they can read it."""
    write_json(path, {"schema": SCHEMA, **value})


def write_config(run: Path, recipe: Recipe) -> None:
    """Writes ``config.yaml``, which is a specification with the number of the schema."""
    write_text(run / CONFIG, f"schema: {SCHEMA}\n{recipe.to_yaml()}")


def write_rows(path: Path, rows: Sequence[Any], columns: Sequence[str]) -> None:
    """Writes dataclass rows as CSV; floats in Python's shortest form that reads back bit for bit."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: asdict(row)[k] for k in columns} for row in rows)
    write_text(path, text.getvalue())


def write_model(
    path: Path,
    model: keras.Sequential,
    class_names: Sequence[str],
    rule: DecodingRule,
    temperature: float = 1.0,
) -> None:
    """Saves the model with its class names and decoding rule in one file, atomically.

    ``keras.models.load_model`` reads it as any other; ``read_model_card`` reads the rest. ``temperature`` is what the
    logits have been divided by.
    """
    with replacing(path) as beside:
        with quiet_stderr():  # on JAX, saving imports TensorFlow, which prints a lot
            model.save(beside)
        card = {
            "version": CARD_VERSION,
            "class_names": list(class_names),
            "decoding": rule.model_dump(),
            "temperature": temperature,
        }
        with zipfile.ZipFile(beside, "a") as archive:
            archive.writestr(MODEL_CARD, json.dumps(card, indent=1))


def change_model_card(path: Path, changes: Mapping[str, Any]) -> None:
    """Writes a model again with some entries of its card changed, atomically; the network stays as it is."""
    card = json.dumps({**read_model_card(path), **changes}, indent=1)
    with replacing(path) as beside, zipfile.ZipFile(path) as before, zipfile.ZipFile(beside, "w") as archive:
        for member in before.infolist():
            archive.writestr(member, card if member.filename == MODEL_CARD else before.read(member))


def read_model_card(path: Path) -> Mapping[str, Any]:
    """The class names and decoding rule inside a ``model.keras``.

    Raises:
        KeyError, ValueError, OSError, zipfile.BadZipFile: It is damaged or not one of ours.
    """
    with zipfile.ZipFile(path) as archive:
        return read_json(read_member(archive, MODEL_CARD))


def read_member(archive: zipfile.ZipFile, name: str, most: int = MOST_CARD) -> bytes:
    """A member of an archive that unpacks to at most ``most`` bytes.

    Raises:
        KeyError, ValueError, zipfile.BadZipFile: There is none, it is larger, or it is damaged.
    """
    with archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise ValueError(f"its member {name} is larger than {most:,} bytes")
    return content
