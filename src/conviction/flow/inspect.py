"""``conviction inspect``: only the audit, with its manifest and its page."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conviction.card import card
from conviction.config import Recipe, load_recipe
from conviction.config.recipe import Overrides
from conviction.data import Audit, ImageSet, audit_images, load_source, split_images
from conviction.data.in_memory import Source, source_path
from conviction.errors import SourceError
from conviction.flow.sessions import likeness_for
from conviction.flow.showing import Show, Showing, shown
from conviction.process import restores_process
from conviction.reporting import audit_step, render_inspection
from conviction.runs import folder


@dataclass(frozen=True, repr=False)
class Inspection:
    """Images and what the audit found."""

    images: ImageSet
    audit: Audit

    def __repr__(self) -> str:
        kinds = ", ".join(f.kind for f in self.audit.findings) or "nothing found"
        return f"Inspection({self.images.name!r}, {len(self.images):,} images: {kinds})"

    def _repr_html_(self) -> str:
        return card(
            f"Audit of {self.images.name}",
            {"images": f"{len(self.images):,} of {len(self.images.class_names)} classes"},
            [self.audit.compared] if self.audit.findings else audit_step([], self.audit.compared).sentences,
            head=("severity", "finding", "what helps"),
            rows=[(f.severity, f.sentence, f.advise()) for f in self.audit.findings],
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "name": self.images.name,
            "location": self.images.location,
            "images": len(self.images),
            "classes": dict(zip(self.images.class_names, self.images.counts(), strict=True)),
            "unreadable": {u.name: u.reason for u in self.images.unreadable},
            "unused": [u.to_json() for u in self.images.unused],
            "compared": self.audit.compared,
            "findings": [f.to_json(self.images) for f in self.audit.findings],
        }

    def manifest(self) -> bytes:
        """CSV of the images that are better left out: file, reason, class, part; a line for each reason."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", "reason", "class", "part"])
        for finding in self.audit.findings:
            for i in finding.leave_out:
                name = self.images.class_names[self.images.labels[i]]
                writer.writerow([self.images.names[i], finding.kind, name, self.images.parts[i]])
        # File names need not be valid Unicode, and must be read back unchanged.
        return text.getvalue().encode("utf-8", "surrogateescape")


@restores_process
def inspect(
    source: Source,
    overrides: Overrides = (),
    *,
    config: str | Path | None = None,
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    html: str | Path | None = None,
    show: Showing = "live",
) -> Inspection:
    """Audits a source without training: copies, leaks, contradictory labels, broken and blank pictures, balance.

    With ``recipe=transfer`` pictures are also compared by the features of a pretrained network.

    Args:
        source: As for ``fit``.
        overrides: Keys of the specification, for example ``data.group``.
        config: A YAML specification.
        data_dir: Where to look for named sets first.
        out: Where to write the manifest, a CSV that ``fit --exclude`` takes.
        html: Where to write the page with pictures.
        show: "live": in a notebook one block that changes, elsewhere the terminal; "plain": lines on stderr;
            "log": the same to Python's logging; None: nothing; or an object that shows it.

    Raises:
        RequestError: The source or a key cannot be used, or an output exists and is a folder.
        StorageError: An output cannot be written.
    """
    source = source_path(source)
    for path in (out, html):
        if path is not None:
            folder.check_file(Path(path))
    spec = load_recipe(overrides, config)
    watching = shown(show)
    try:
        inspection = _inspected(source, spec, data_dir, watching)
    finally:
        watching.close()
    if out is not None:
        with folder.replacing(Path(out)) as beside:
            beside.write_bytes(inspection.manifest())
    if html is not None:
        audit = inspection.audit
        folder.write_text(Path(html), render_inspection(inspection.images, audit.findings, audit.compared))
    return inspection


def _inspected(source: str | Path, spec: Recipe, data_dir: str | Path | None, show: Show) -> Inspection:
    show.loading(str(source))
    images = load_source(source, spec.data, data_dir)
    show.loading("the audit of all images")
    audit = audit_images(images, spec.data, likeness_for(source, images, spec, data_dir, show.computing))
    # Data that cannot be split is an error when a network is trained; here the user still wants the rest of the audit.
    with suppress(SourceError):
        audit = audit.after_split(
            images, split_images(images, spec.data, spec.training.seed, audit.groups, audit.excluded)
        )
    return Inspection(images, audit)
