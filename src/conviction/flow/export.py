"""``export``: writes artefacts, lets them classify the run's own images, and keeps those that answer as the run did."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from conviction.artefacts.card import Quantized
from conviction.artefacts.formats import FORMATS, Format, saved_model
from conviction.artefacts.parity import Parity, ask, compare, run_module
from conviction.artefacts.pictures import picture_files, spread_out
from conviction.artefacts.run_card import card_of, card_page
from conviction.audience import option
from conviction.config.text import names_of, read_json_file
from conviction.data import ImageSet
from conviction.errors import ParityError, RequestError, RunFileError, did_you_mean
from conviction.evaluation import newcombe_paired
from conviction.flow.again import load_again, load_finished
from conviction.flow.showing import Showing, shown
from conviction.model.own_classes import own_classes, write_classes
from conviction.process import restores_process
from conviction.programs.script import PROGRAMS, write_program
from conviction.runs import RunFolder, RunLike, folder
from conviction.runs.content import Content
from conviction.runs.inside import DRAWN, refuse_link, refuse_links
from conviction.runs.predictions import Answers, read_predictions
from conviction.runs.reading import read_run_file
from conviction.runs.rows import rows_of_part, rows_of_run

RECORD, PAGE = "export.json", "MODEL_CARD.md"
# The prefix of the folder in which an export is made before it is kept.
BESIDE = ".export-"
_LEFT = re.compile(re.escape(BESIDE) + DRAWN)
# Enough to see any difference in preprocessing; more pictures would only take time.
MOST_COMPARED, MOST_LABELLED, CALIBRATION = 1000, 5000, 256
QUANTIZED: tuple[Quantized, ...] = ("float16", "int8")


@dataclass(frozen=True)
class Exported:
    """One artefact that was kept.

    Attributes:
        format: As users type it.
        path: Its file or folder.
        parity: What the gate found; None for programs, which hold no weights.
        sha256: The hash of the file; None for a folder.
    """

    format: str
    path: Path
    parity: Parity | None
    sha256: str | None

    def to_json(self) -> dict[str, Any]:
        """For ``export.json``."""
        parity = asdict(self.parity) if self.parity else None
        return {"format": self.format, "path": self.path.name, "sha256": self.sha256, "parity": parity}

    @property
    def sentence(self) -> str:
        """For people."""
        elsewhere = (
            " TensorFlow itself opens it only where no folder's name has *, ? or [; conviction opens it anywhere."
            if self.format == saved_model.NAME and saved_model.is_pattern(self.path)
            else ""
        )
        return f"{self.path}: {self._what}{elsewhere}"

    @property
    def named(self) -> str:
        """The same without the path, for people to whom the folder is sent."""
        return f"{self.path.name}: {self._what}"

    @property
    def _what(self) -> str:
        return self.parity.sentence if self.parity else "a program that runs without this package."


@restores_process
def export(
    run: RunLike,
    formats: str | Sequence[str] = ("onnx",),
    *,
    quantize: str | None = None,
    most_lost: float = 0.01,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    show: Showing = "live",
) -> list[Exported]:
    """Writes a finished run's model in other formats, each of which must give the answers of the model that was tested.

    An artefact is opened in a fresh process by its format's own runtime and classifies test images (validation images
    where the test set is sealed) from their files. It never sees a label of the test set.

    Args:
        run: A run, or the path of its folder.
        formats: Any of ``known_formats()``, such as "onnx" or ["onnx", "script"].
        quantize: "float16" or "int8", for the formats that can be quantized.
        most_lost: The share of validation images by which a quantized artefact may be worse.
        out: The folder; default ``exports`` in the run folder. Files of earlier exports there are replaced.
        data_dir: As for ``fit``.
        show: "live": in a notebook one block that changes, elsewhere the terminal; "plain": lines on stderr;
            "log": the same to Python's logging; None: nothing; or an object that shows it.

    Raises:
        RunError: There is no such run, or it is not finished.
        RequestError: An unknown format; a package that is an extra is missing; the data has changed.
        ParityError: An artefact does not answer as the run does, or has lost too much. Nothing is kept.
        StorageError: No space is left.
    """
    wanted, small = _wanted(formats, quantize)
    if not 0.0 <= most_lost <= 1.0:
        raise RequestError(f"{option('most-lost')}: expected a share from 0 to 1; got {most_lost:g}.")
    opened = load_finished(run)
    _check_own(opened, wanted)
    answers = read_predictions(opened.path)
    watching = shown(show)
    try:
        watching.loading(opened.data.source)
        images = load_again(opened, data_dir)
    finally:
        watching.close()
    target = Path(out) if out is not None else opened.path / folder.EXPORTS
    if out is None:
        refuse_link(target)
    if target.exists() and not target.is_dir():
        raise RequestError(f"{option('out')} {target}: expected a folder; this is a file.")
    with folder.storing(target):
        target.mkdir(parents=True, exist_ok=True)
    try:
        with folder.claimed(target), folder.storing(target):
            refuse_links(target, _is_ours)
            before = _read_record(target)
            _clear(target)
            watching.loading(", ".join(wanted), "writing and asking")
            return _Export(opened, images, answers, small, most_lost).make(wanted, target, before)
    except BaseException:
        with contextlib.suppress(OSError):  # removes it if it is empty
            target.rmdir()
        raise
    finally:
        watching.close()


def _check_own(run: RunFolder, wanted: Sequence[str]) -> None:
    """Refuses what a network that a user has built cannot be exported to.

    Raises:
        RequestError: A program, which is the user's own; or a format that needs the code of its classes.
    """
    own = run.config.model.own
    programs = [name for name in wanted if name in PROGRAMS]
    if own is not None and programs:
        raise RequestError(
            f"{option('format', 'formats')}: {', '.join(programs)} writes the program that trains a network of ours; "
            "that of your own network is yours."
        )
    if own is not None and own.needs and "keras" in wanted:
        raise RequestError(
            f"{option('format', 'formats')}: keras would need the code of {', '.join(own.needs)} wherever it is "
            "opened. "
            "The others hold all that they need, such as onnx."
        )


def _clear(path: Path) -> None:
    """Removes what a killed export left behind."""
    for left in path.iterdir():
        if _LEFT.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)  # which follows no link


def _is_ours(name: str) -> bool:
    """Whether an export has a file or folder of this name."""
    return name in (RECORD, PAGE, *FORMATS, *PROGRAMS) or name.startswith(("model.", "model-"))


class _Listed(Content):
    """An artefact in ``export.json``, as ``Exported.to_json`` and its sentence."""

    format: str
    path: str
    sentence: str
    sha256: str | None = None
    parity: dict[str, Any] | None = None


def _read_record(path: Path) -> dict[str, dict[str, Any]]:
    """The artefacts of earlier exports, by the name of their file or folder.

    Raises:
        RunFileError: The record cannot be read, or is damaged.
    """
    file = path / RECORD
    if not file.exists():
        return {}
    try:
        entries = read_run_file(file, lambda p: TypeAdapter(list[_Listed]).validate_python(read_json_file(p)))
    except RunFileError as failure:
        raise RunFileError(
            f"{failure} Remove it; the next export writes a new one.", failure.reason
        ) from None
    return {entry.path: entry.model_dump() for entry in entries if Path(entry.path).name == entry.path}


def known_formats() -> list[str]:
    """All that ``formats`` may name: the formats of a model, then programs."""
    return [*FORMATS, *PROGRAMS]


def _wanted(formats: str | Sequence[str], quantize: str | None) -> tuple[list[str], Quantized | None]:
    known = known_formats()
    wanted = list(dict.fromkeys(names_of(formats)))
    for name in wanted:
        if name not in known:
            raise RequestError(
                f"{option('format', 'formats')}: expected any of {', '.join(known)}; got "
                f"'{name}'.{did_you_mean(name, known)}"
            )
    if not wanted:
        raise RequestError(f"{option('format', 'formats')}: expected at least one of {', '.join(known)}.")
    small = next((name for name in QUANTIZED if name == quantize), None)
    if quantize is not None and small is None:
        raise RequestError(f"{option('quantize')}: expected float16 or int8; got '{quantize}'.")
    whole = [n for n in wanted if quantize and not (n in FORMATS and FORMATS[n].quantizes)]
    if whole:
        able = ", ".join(f.name for f in FORMATS.values() if f.quantizes)
        raise RequestError(f"{option('quantize')}: only {able} can be quantized; got {', '.join(whole)}.")
    return wanted, small


@dataclass(frozen=True)
class _Export:
    run: RunFolder
    images: ImageSet
    answers: dict[str, Answers]
    quantize: Quantized | None
    most_lost: float

    def make(
        self, wanted: Sequence[str], target: Path, before: Mapping[str, Mapping[str, Any]]
    ) -> list[Exported]:
        """Makes everything in a folder beside the target, and moves it there once all of it is good.

        ``before`` has the artefacts of earlier exports, as ``_read_record``.
        """
        with tempfile.TemporaryDirectory(prefix=BESIDE, dir=target) as beside:
            work = Path(beside)
            forms = [FORMATS[name] for name in wanted if name in FORMATS]
            paths = {f.name: work / self._file_name(f) for f in forms}
            if forms:
                self._convert(forms, paths, work)
            made = [Exported(f.name, paths[f.name], self._check(f, paths[f.name], work), None) for f in forms]
            for name in wanted:
                if name in PROGRAMS:
                    made.append(Exported(name, write_program(name, self.run, self.images, work), None, None))
            kept = [self._keep(exported, target) for exported in made]
        self._record(kept, target, before)
        return kept

    def _file_name(self, form: Format) -> str:
        small = f"-{self.quantize}" if self.quantize else ""
        return f"model{small}{form.suffix}" if form.suffix else form.name

    def _convert(self, forms: Sequence[Format], paths: dict[str, Path], work: Path) -> None:
        calibration = None
        if self.quantize == "int8":
            rows = rows_of_part(self.run, self.images, "train")
            chosen = rows[spread_out(len(rows), CALIBRATION)]
            calibration = work / "calibration.npy"
            np.save(calibration, self.images.pixels[chosen], allow_pickle=False)
        artefacts = [
            {
                "format": form.name,
                "path": str(paths[form.name].resolve()),
                "card": card_of(self.run, form.name, self.quantize).model_dump(mode="json"),
            }
            for form in forms
        ]
        own = own_classes(self.run.config.model, self.run.path)
        code = work / "code.pickle" if own else None
        if own and code:
            write_classes(own, code)
        job = work / "job.json"
        job.write_text(
            json.dumps(
                {
                    "model": str((self.run.path / folder.MODEL).resolve()),
                    "own": own,
                    "views": self.run.config.evaluation.views,
                    "code": str(code.resolve()) if code else None,
                    "calibration": str(calibration.resolve()) if calibration else None,
                    "artefacts": artefacts,
                }
            ),
            encoding="utf-8",
        )
        run_module(
            "conviction.artefacts.converting", str(job.resolve()), doing=", ".join(f.name for f in forms)
        )

    def _check(self, form: Format, artefact: Path, work: Path) -> Parity:
        part = "test" if "test" in self.answers else "validation"
        reference, answered, _ = self._answers(part, MOST_COMPARED, artefact, work)
        parity = compare(reference, answered, artefact.name, part, self.quantize)
        if self.quantize is None:
            return parity
        reference, answered, labels = self._answers("validation", MOST_LABELLED, artefact, work)
        parity = replace(parity, **_loss(reference, answered, labels))
        _accept(parity, artefact.name, self.most_lost)
        return parity

    def _answers(
        self, part: str, most: int, artefact: Path, work: Path
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(the run's probabilities, the artefact's, labels) for images of a part."""
        known = self.answers[part]
        chosen = spread_out(len(known.labels), most)
        rows = rows_of_run(self.run, self.images, [known.hashes[i] for i in chosen])
        files = work / part
        files.mkdir(exist_ok=True)
        pictures = picture_files(self.images, rows, files)
        return known.probabilities[chosen], ask(artefact, pictures, work), known.labels[chosen]

    def _keep(self, made: Exported, target: Path) -> Exported:
        """Moves an artefact into the target folder, where it replaces an earlier one."""
        path = target / made.path.name
        if path.is_dir():
            # Renaming cannot replace a folder; the old one is removed only once the new one is complete.
            shutil.rmtree(path)
        made.path.replace(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        return replace(made, path=path, sha256=digest)

    def _record(
        self, kept: Sequence[Exported], target: Path, before: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Writes ``export.json`` and the card as a page; both still list the artefacts of earlier exports."""
        written = {e.path.name: e.to_json() | {"sentence": e.named} for e in kept}
        entries = {p: e for p, e in {**before, **written}.items() if (target / p).exists()}
        folder.write_json(target / RECORD, list(entries.values()))
        page = card_page(card_of(self.run, "all"), [e["sentence"] for e in entries.values()])
        folder.write_text(target / PAGE, page)


def _loss(reference: np.ndarray, answered: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """How much accuracy is lost, as the fields of ``Parity``."""
    right, still = reference.argmax(axis=1) == labels, answered.argmax(axis=1) == labels
    both, first, second = (int(v.sum()) for v in (right & still, right & ~still, ~right & still))
    interval = newcombe_paired(both, first, second, len(labels) - both - first - second)
    return {"lost": (first - second) / len(labels), "lost_ci95": interval, "labelled": len(labels)}


def _accept(parity: Parity, name: str, most_lost: float) -> None:
    assert parity.lost is not None
    assert parity.lost_ci95 is not None
    if parity.lost > most_lost:
        low, high = (100 * v for v in parity.lost_ci95)
        raise ParityError(
            f"{name}: loses {100 * parity.lost:.2f} points of accuracy on {parity.labelled:,} validation images (95% "
            f"interval {low:.2f} to {high:.2f}); accepted: {100 * most_lost:g}. Nothing was kept. Accept more with "
            f"{option('most-lost')}, or use {option('quantize')} float16."
        )
