"""Says to a run where its images are now."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from conviction.audience import without_home
from conviction.config.text import read_json_file
from conviction.data import load_source
from conviction.data.image_set import PARTS, labels_hash
from conviction.data.in_memory import Source, source_path
from conviction.errors import RequestError
from conviction.flow.again import check_meaning, few
from conviction.flow.records import source_name
from conviction.process import restores_process
from conviction.runs import RunLike, folder, open_run
from conviction.runs.data_content import MOST_DATA


@restores_process
def set_source(run: RunLike, source: Source, data_dir: str | Path | None = None) -> None:
    """Says where the images of a run are now; the run remembers it, once they have been found to be the same.

    Args:
        run: A run, or the path of its folder.
        source: As for ``fit``.
        data_dir: As for ``fit``.

    Raises:
        RunError: There is no such run, or another process works in its folder.
        RequestError: There are no images, or not those that the run was made with; the run stays as it was.
        StorageError: No space is left.
    """
    opened = open_run(run)
    data, path = opened.data, source_path(source)
    images = load_source(path, opened.config.data, data_dir, rule=data.decoding, changes=data.changes)
    check_meaning(opened, images)
    contents = [pair for part in PARTS for pair in opened.split.of(part).items()]
    rows = images.rows_of([content for _, content in contents], [name for name, _ in contents])
    missing = [name for (name, _), row in zip(contents, rows, strict=True) if row is None]
    if missing:
        raise RequestError(
            f"{images.location}: {len(missing):,} of the {len(contents):,} images of the run are not there, or are not "
            f"the same any more ({few(missing)}). Give the place where all of them are."
        )
    if data.labels_hash not in ("", labels_hash(images, np.array(rows))):
        raise RequestError(
            f"{images.location}: the images are those of the run, and have other labels. Give the place where they "
            "have the same ones."
        )
    with folder.claimed(opened.path):
        file = opened.path / folder.DATA
        where = {"source": source_name(path), "location": without_home(images.location)}
        folder.write_json(file, read_json_file(file, MOST_DATA) | where)
