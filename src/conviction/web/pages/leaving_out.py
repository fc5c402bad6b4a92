"""Leaving images out where the audit finds them, with undo: a list that ``data.exclude`` names."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nicegui import ui

from conviction.data import Finding, ImageSet
from conviction.data.findings import plural
from conviction.data.group import read_file_column
from conviction.reporting import printable
from conviction.runs import folder
from conviction.web.elements.plain import button, tag
from conviction.web.pages.page import PageContext
from conviction.web.work.lab import facts_about

KEY = "data.exclude"
# What these find is for a person to decide, picture by picture.
ONE_BY_ONE = ("label_conflict", "near_label_conflict")
# Left out of training anyway.
DROPPED = "leak"


def leave_out_button(page: PageContext, images: ImageSet, finding: Finding) -> None:
    """The button of a finding that suggests to leave images out; nothing for others."""
    if not finding.leave_out or finding.kind in (*ONE_BY_ONE, DROPPED):
        return

    async def take(*_: Any) -> None:
        await leave_out(page, images, finding.leave_out)

    count = plural(len(finding.leave_out), "image")
    with tag("div", "", "buttons"):
        button(f"Leave {count} out", page.guarded(take), f"leave-out-{finding.kind}", "primary")


def leave_one_out_button(page: PageContext, images: ImageSet, finding: Finding, row: int) -> None:
    """The button below a picture, where a person must look at each; nothing for other findings."""
    if finding.kind not in ONE_BY_ONE:
        return

    async def take(*_: Any) -> None:
        await leave_out(page, images, [row])

    name = printable(images.names[row])
    button("Leave out", page.guarded(take), f"leave-out-{row}", "quiet", aria_label=f"Leave out {name}")


async def leave_out(page: PageContext, images: ImageSet, rows: Iterable[int]) -> None:
    """Leaves images out of everything that is learned from and tested on, besides those that are left out already."""
    names = {images.names[row] for row in rows} | _left_out(page.data.exclude)
    path = _write_list(page.lab.own("lists", page.owner or "own"), names)
    draft = page.draft.with_key(KEY, str(path), facts_about(images, page.data))
    if page.desk.change(draft):
        await page.keep_beside()
    ui.navigate.reload()


def _left_out(path: str | None) -> set[str]:
    return {name for name, _ in read_file_column(Path(path), "the list")} if path else set()


def _write_list(root: Path, names: Iterable[str]) -> Path:
    """A file for each list, whose content never changes: undo and finished runs still have theirs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file"])
    writer.writerows([name] for name in sorted(names))
    # File names need not be valid Unicode, and must be read back unchanged.
    content = text.getvalue().encode("utf-8", "surrogateescape")
    path = root / f"{hashlib.blake2b(content, digest_size=8).hexdigest()}.csv"
    with folder.replacing(path) as beside:
        beside.write_bytes(content)
    return path
