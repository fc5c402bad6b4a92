"""Reads a run's own data again, and compares it with the data that the run was made with."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from conviction.audience import call, if_moved, run_name
from conviction.config import Recipe
from conviction.data import ImageSet, load_source
from conviction.data.image_set import PARTS, labels_hash
from conviction.errors import RequestError, RunError, SourceNotFoundError
from conviction.flow.prepare import Loading, Prepared, prepare_run, silently
from conviction.runs import RunFolder, RunLike, folder, open_run
from conviction.runs.rows import fit_again

# Enough names to see what happened to the data.
MOST_NAMED = 3


def prepare_again(
    run: RunFolder, recipe: Recipe, data_dir: str | Path | None, loading: Loading = silently
) -> Prepared:
    """Does what ``prepare_run`` does, for the data of an existing run.

    Raises:
        RequestError: The images or classes are not those of the run.
    """
    source, rule = run.data.source, run.data.decoding
    with _may_be_moved(run):
        ready = prepare_run(
            source,
            recipe,
            data_dir,
            lambda facts: recipe,
            rule=rule,
            # The run's own: another machine, or one without the weights, could find others.
            kept=run.data.kept_audit,
            changes=run.data.changes,
            loading=loading,
        )
    _check_data(run, ready)
    return replace(ready, search=run.search or ready.search, mirrors=run.data.decided_mirrors)


def load_again(run: RunFolder, data_dir: str | Path | None) -> ImageSet:
    """Loads only the images of a run, without an audit or a split, for callers that look them up by content.

    Raises:
        RequestError: The classes are not those of the run.
    """
    data = run.data
    with _may_be_moved(run):
        images = load_source(data.source, run.config.data, data_dir, rule=data.decoding, changes=data.changes)
    check_meaning(run, images)
    return images


@contextlib.contextmanager
def _may_be_moved(run: RunFolder) -> Iterator[None]:
    """Says what to do about images that are gone."""
    try:
        yield
    except SourceNotFoundError as failure:
        raise SourceNotFoundError(
            f"{run_name(run.path)}: the images of the run are gone: {failure} {if_moved()}"
        ) from None


def load_finished(run: RunLike) -> RunFolder:
    """A run whose model, predictions and evaluation belong together.

    Raises:
        RunError: There is no such run, or it is not finished: a resumed run still has an earlier model's predictions.
    """
    opened = open_run(run)
    if opened.status != "done":
        raise RunError(
            f"{run_name(opened.path)}: expected a finished run; this one is {opened.status}. Finish it with: "
            f"{call('resume', opened.path)}"
        )
    opened.check()
    check_classes(opened)
    return opened


def check_classes(run: RunFolder) -> None:
    """Refuses a model of other classes than those of the data.

    Raises:
        RunError: It is one, so the files are of different runs; or one of them is damaged.
    """
    if run.class_names != run.data.class_names:
        raise RunError(
            f"{run.path}: the classes of {folder.MODEL} are not those of {folder.DATA}, so the files are of different "
            "runs. Put back the file that belongs here."
        )


def few(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _check_data(run: RunFolder, ready: Prepared) -> None:
    """Refuses images or classes that differ from those of the run."""
    images, split = ready.images, ready.split
    check_meaning(run, images)
    changes = []
    for part in PARTS:
        before = run.split.of(part)
        index = split.of(part)
        now = dict(zip([images.names[i] for i in index], images.hex_hashes(index), strict=True))
        # Compared by content: a picture that was only renamed is still the same picture.
        if Counter(before.values()) == Counter(now.values()):
            continue
        gone, come = set(before.values()) - set(now.values()), set(now.values()) - set(before.values())
        names = sorted({n for n, h in before.items() if h in gone} | {n for n, h in now.items() if h in come})
        changes.append(
            f"{part}: {len(gone)} images are gone or changed and {len(come)} are new ({few(names)})"
        )
    if not changes and run.data.labels_hash not in ("", labels_hash(images, split.all)):
        changes = ["the same images have other labels"]
    if changes:
        raise RequestError(
            f"{images.location}: the data has changed since the run started; {'; '.join(changes)}. Put it back, or "
            f"start a new run with: {fit_again(run)}"
        )


def check_meaning(run: RunFolder, images: ImageSet) -> None:
    """Refuses images of other classes than those of the run.

    Raises:
        RequestError: They are.
    """
    before = run.data.class_names
    if before != images.class_names:
        raise RequestError(
            f"{run.path}: class_names have changed since the run started: they were {before} and are now "
            f"{images.class_names}."
        )
