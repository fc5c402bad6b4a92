"""Step 9: what a run leaves behind, to keep: notebook, script, ONNX, report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nicegui import ui

from conviction.artefacts.parity import Parity
from conviction.web.elements.plain import button, heading, link, paragraph, tag
from conviction.web.elements.surface import Surface
from conviction.web.jobs.records import Job
from conviction.web.jobs.starts import start_export
from conviction.web.pages.evaluate import pick_run
from conviction.web.pages.frame import framed
from conviction.web.pages.page import PageContext, Stop, walkthrough

# What is offered: the format, its title, what it is for, whether the test set must be open.
OFFERS = (
    (
        "onnx",
        "ONNX",
        "The network in a file that needs no TensorFlow; for use in programs, or to serve to others.",
        False,
    ),
    (
        "script",
        "Script",
        "The whole run as a plain Keras program of about a hundred lines, with the list of the images that it learns "
        "from.",
        True,
    ),
    (
        "notebook",
        "Notebook",
        "The same as a notebook, with the lesson between the cells. It is run once from top to bottom, which takes as "
        "long as the training, and opens the test set again: that opening is counted too.",
        True,
    ),
    (
        "keras",
        "Keras",
        "model.keras again, to pass on: another process opens it and gives it pictures from their files, and it is "
        "kept only if it answers as this run did.",
        False,
    ),
)
MADE = {
    "onnx": Path("exports/model.onnx"),
    "script": Path("exports/script.zip"),
    "notebook": Path("exports/notebook.zip"),
    "keras": Path("exports/model.keras"),
}
FILES = {
    "report.html": "The report, one page",
    "config.yaml": "The specification: all settings of this run",
    "model.keras": "The network, pixels in and probabilities out",
    "history.csv": "Loss and accuracy of every epoch",
}


async def take_page(page: PageContext) -> None:
    """Builds the step."""
    with framed(page):
        run = pick_run(page)
        if run is not None:
            _Shelf(page, run.path).show()


STOP = Stop("take", "Take away", "objectives", take_page, partial(walkthrough, "Keep"), needs="end")


class _Shelf:
    """What there is, what can be made, what is being made."""

    def __init__(self, page: PageContext, path: Path) -> None:
        self.page, self.path = page, path
        self.seen: Any = None

    def show(self) -> None:
        """Shows everything, and redraws it when an export ends."""
        self.surface = Surface()
        self._look()
        ui.timer(1.0, self._look)

    def _look(self) -> None:
        job = self.page.lab.jobs.last_at(self.path)
        files = exported(self.path)
        run = self.page.run_status()
        opened = run is not None and run.opened
        state = (job, files, opened)
        if state == self.seen:
            return
        self.seen = state
        with self.surface.drawing():
            heading("Already here")
            with tag("ul", "", "runs"):
                for name, words in FILES.items():
                    if (self.path / name).is_file():
                        self._file(Path(name), words)
                for file, size in files.items():
                    self._file(file, f"Exported, {_size(size)}")
            heading("Make")
            self._show_last(job)
            with tag("div", "", "cards"):
                for name, words, what, needs_test in OFFERS:
                    self._offer(
                        name,
                        words,
                        what,
                        files=files,
                        closed=needs_test and not opened,
                        busy=job is not None and job.alive,
                    )

    def _file(self, file: Path, words: str) -> None:
        with tag("li"):
            self._link(file)
            tag("span", words, "soft")

    def _link(self, file: Path) -> None:
        href = f"/lab/{self.page.desk.id}/file/{quote(self.path.name, safe='')}/{quote(file.as_posix())}"
        name = f"{self.path.name}-{file.name}" if file.suffix == ".zip" else file.name
        how = {"target": "_blank"} if file.suffix == ".html" else {"download": name}
        link(file.as_posix(), href, **how)

    def _show_last(self, job: Job | None) -> None:
        if job is None or job.kind != "export":
            return
        if job.alive:
            paragraph(
                f"{job.title}: {'waiting for its turn' if job.state == 'waiting' else 'at work'} ...",
                "waiting",
            )
        elif job.state == "failed":
            paragraph(job.reason, "message trouble")
        elif job.state == "done":
            for made in self.page.lab.jobs.records.answer(job).get("exports", []):
                parity = made.get("parity")
                sentence = (
                    Parity(**parity).sentence if parity else "A program that runs without this package."
                )
                paragraph(f"{Path(made['path']).name}: {sentence}", "message")

    def _offer(
        self, name: str, words: str, what: str, *, files: dict[Path, int], closed: bool, busy: bool
    ) -> None:
        with tag("section", "", "card"):
            heading(words, 3)
            paragraph(what, "note")
            if closed:
                paragraph(
                    "It tests the network at the end, and this run's test set is still sealed. Open it at Evaluate "
                    "first; then you can make this.",
                    "note",
                )
                link("To Evaluate", self.page.to("evaluate", self.path.name))
                return
            make = self.page.guarded(lambda *_: self._make(name))
            button(f"Make {words}", make, f"make-{name}", disabled=busy)
            if MADE[name] in files:
                with tag("p", "Made: "):
                    self._link(MADE[name])

    def _make(self, name: str) -> None:
        start_export(self.page.lab.jobs, self.page.owner, self.path, [name])
        self.page.lab.jobs.tick()
        self._look()


def _size(count: int) -> str:
    return f"{count / 1e6:,.2f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


def exported(run: Path) -> dict[Path, int]:
    """What has been exported, relative to the run folder, with its bytes; a folder is taken as a whole, as a zip."""
    exports = run / "exports"
    files = {}
    for path in sorted(exports.iterdir()) if exports.is_dir() else ():
        if path.name.startswith("."):
            continue
        inside = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
        name = f"{path.name}.zip" if path.is_dir() else path.name
        files[Path("exports", name)] = sum(p.stat().st_size for p in inside)
    return files
