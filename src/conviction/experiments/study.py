"""The folder of a study: where it is, and what is written there at the end."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conviction.audience import option
from conviction.errors import RequestError
from conviction.experiments.exploration import Watch
from conviction.experiments.exploration_page import render_exploration
from conviction.experiments.findings import Findings
from conviction.experiments.mirror import Sends, fetched, is_address
from conviction.experiments.store import REPORT, RESULT, is_begun
from conviction.runs import folder

EXPLORATIONS, SEARCHES = Path("explorations"), Path("searches")


def study_folder(out: Path | None, source: str, root: Path = EXPLORATIONS) -> Path:
    """``out``, made if it is new, if it is empty or a study; without ``out``, the next free name below ``root``.

    Raises:
        OutputError: ``out`` is something else, or cannot be made.
    """
    if out is None:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).name.split(".")[0]).strip("-.") or "study"
        return folder.create(None, root, stem)
    if not out.is_dir() or not is_begun(out):
        folder.check_out(out)
    with folder.storing(out):
        out.mkdir(parents=True, exist_ok=True)
    return out


@contextmanager
def study_at(
    out: str | Path | None, source: str, watch: Watch, root: Path = EXPLORATIONS
) -> Iterator[tuple[Path, Watch]]:
    """The folder of a study, and the watch that shows its trials.

    Args:
        out: As for ``study_folder``, or an address for fsspec: then the study is in the next free folder below
            ``root``, which begins with what is at the address and is sent there after each trial and at the end.
        source: As the user typed it.
        watch: Shows the trials.
        root: The folder that holds studies.

    Raises:
        OutputError: ``out`` is something else.
        RequestError: The address cannot be used.
        StorageError: Nothing can be written to the address; the folder on this machine has everything.
    """
    if not is_address(out):
        yield study_folder(Path(out) if out is not None else None, source, root), watch
        return
    path = study_folder(None, source, root)
    try:
        mirror = fetched(str(out), path)
        yield path, Sends(watch, mirror)
    except RequestError:
        shutil.rmtree(path)  # it holds nothing that is not at the address
        raise
    finally:
        if path.exists():
            mirror.send()


def keep(path: Path, findings: Findings) -> None:
    """Writes the result for programs and the page for people."""
    folder.write_record(path / RESULT, findings.to_json())
    folder.write_text(path / REPORT, render_exploration(findings))


def no_answer_message(what: str, reasons: Sequence[str], path: Path) -> str:
    """The message of a study that ended without an answer: what is missing, why, and how to continue.

    Args:
        what: What is missing, as a sentence.
        reasons: Why runs failed, one reason for each.
        path: The study's folder.
    """
    counted = ", ".join(f"{count} failed: {reason}" for reason, count in Counter(reasons).most_common(3))
    return (
        f"{what} {counted or 'No run was started'}. Allow each run more time "
        f"({option('limit')}) or memory (fewer {option('jobs')}), or use a smaller network; the same request with "
        f"{option('out')} {path} runs what failed again. {path / REPORT} lists all reasons."
    )
