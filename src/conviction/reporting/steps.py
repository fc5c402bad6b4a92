"""The steps of the lab as plain data: what the terminal prints and the report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from conviction.audience import by_key, listening, without_home
from conviction.config import DataSpec, ModelSpec, Recipe, TrainingSpec
from conviction.data import Finding, ImageSet, Split, encode_labels
from conviction.data.group import AUTO
from conviction.data.mirrors import Mirrors
from conviction.data.unused import unused_sentence
from conviction.model import LayerRow, loss_name, warmup_steps
from conviction.model.backbones.kinds import Scaling
from conviction.model.compile import RISE_FROM
from conviction.model.shapes import UNIT
from conviction.reporting.backbone import backbone_sentences
from conviction.reporting.mirrored import mirror_sentences
from conviction.reporting.relabelled import changed_labels, where_labels_changed
from conviction.training import RateSearch, Training, TrainingState
from conviction.training.augment import active_augmentations
from conviction.training.views import views_kept

# More rows than fit on a terminal without scrolling tell people less, not more.
MOST_ROWS = 20


@dataclass(frozen=True)
class Table:
    """Column heads and rows of text; columns at ``right`` hold numbers.

    A terminal shows the first rows of a long table, unless it says something only as a ``whole``.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()
    whole: bool = False


@dataclass(frozen=True)
class Step:
    """One step of the lab: what was done, in sentences, and a table where there is one."""

    title: str
    sentences: tuple[str, ...]
    table: Table | None = None


def load_step(images: ImageSet) -> Step:
    """Load: what the source holds, and what was left out."""
    sentences = [
        f"{images.name}: {len(images):,} images of {len(images.class_names)} classes from "
        f"{printable(without_home(images.location))}, "
        f"stored as {images.stored}."
    ]
    listed = ["All are in data.json."] if len(images.unreadable) > 1 else []
    return Step("Load", (*sentences, *changed_labels(images), *left_out(images), *listed, *not_used(images)))


def not_used(images: ImageSet) -> list[str]:
    """What was supplied and is not used, in one sentence; none if everything is used."""
    sentence = unused_sentence(images.unused)
    return [sentence] if sentence else []


def left_out(images: ImageSet) -> list[str]:
    """Files that cannot be read, in a sentence; none if all can."""
    if not images.unreadable:
        return []
    first, count = images.unreadable[0], len(images.unreadable)
    more = f", and {count - 1} more" if count > 1 else ""
    files = "file" if count == 1 else "files"
    return [f"Left out {count} unreadable {files}: {printable(first.name)} ({first.reason}){more}."]


def reshape_step(images: ImageSet) -> Step:
    """Reshape: the shape the network gets, and each conversion on the way."""
    n, height, width, channels = images.pixels.shape
    colors = "one grayscale channel" if channels == 1 else "three channels: red, green, blue"
    return Step(
        "Reshape",
        (
            f"Now an array of shape ({n}, {height}, {width}, {channels}): images, height, width and {colors}, "
            "uint8 from 0 to 255.",
            *images.conversions,
        ),
    )


def normalise_step(images: ImageSet, scaling: Scaling = UNIT) -> Step:
    """Normalise: real values before and after, scaled as the network takes them."""
    scaled = (
        f"{_scaled_words(scaling)} That is the first layer of the network, so the saved model takes raw pixels and "
        "nobody can forget this step."
    )
    if images.absent:
        return Step("Normalise", (scaled,))
    row = images.pixels[0, images.pixels.shape[1] // 2, :, 0]
    # A few neighbours around the largest jump show more than a margin of zeros.
    at = int(np.abs(np.diff(row.astype(int))).argmax()) if len(row) > 1 else 0
    few = row[max(0, at - 1) : at + 3]
    before = ", ".join(str(int(v)) for v in few)
    after = ", ".join(f"{v:.3f}" for v in scaling.of(few, 0))
    channel = " (red)" if images.pixels.shape[3] == 3 else ""
    return Step(
        "Normalise",
        (scaled, f"Middle row of the first image{channel}: {before} become {after}."),
    )


def _scaled_words(scaling: Scaling) -> str:
    if scaling == UNIT:
        return "Pixels are divided by 255, so that they lie in [0, 1]."
    return f"Pixels, x from 0 to 255, are scaled as they were when the backbone learned: {scaling.words}."


def encode_step(images: ImageSet) -> Step:
    """Encode: label to vector, for a few classes."""
    classes = len(images.class_names)
    labels = np.arange(min(classes, 3))
    vectors = encode_labels(labels, classes)
    rows = tuple((images.class_names[i], str(i), _vector(v)) for i, v in zip(labels, vectors, strict=True))
    if classes == 2:
        text = "Two classes need one number, 0 or 1: the target of one sigmoid unit."
    else:
        text = (
            f"Each label becomes a one-hot vector of {classes} numbers, 1 at its class and 0 elsewhere: the "
            "probabilities that the softmax should give."
        )
    return Step("Encode", (text,), Table(("class", "label", "target"), rows, (1,)))


def _vector(values: np.ndarray) -> str:
    numbers = [f"{v:.0f}" for v in values]
    if len(numbers) > 12:
        numbers = [*numbers[:10], "...", numbers[-1]]
    return f"[{' '.join(numbers)}]"


def audit_step(findings: Sequence[Finding], compared: str = "") -> Step:
    """Audit: what was found, the most severe first, and what to do.

    Args:
        findings: Of the audit.
        compared: By what pictures were compared, ``Audit.compared``.
    """
    sentences = [
        f"{f.severity.capitalize()}: {printable(f.sentence)} {printable(f.advise())}" for f in findings
    ] or [
        "Nothing found: there are no copies, contradictory labels, leaks, blank or unreadable pictures, and the "
        "classes are of similar size."
    ]
    return Step("Audit", (*sentences, *([compared] if compared else [])))


def split_step(images: ImageSet, split: Split, spec: DataSpec) -> Step:
    """Split: how many images of each class are in which part, and who decided."""
    drawn = "drawn here, shuffled, in proportion from each class"
    brought = "brought by the source"
    origin = {
        "test": brought if split.test_origin == "source" else drawn,
        "validation": {"source": brought, "fold": f"fold {spec.fold} of {spec.folds}"}.get(
            split.validation_origin, drawn
        ),
    }
    sentences = (
        f"{len(split.train):,} images to learn from, {len(split.validation):,} to monitor training "
        f"({origin['validation']}), {len(split.test):,} sealed until the end ({origin['test']}).",
        "Each image's content decides which part it is in: the same images are split in the same way in another "
        "folder, in another order or on another machine. Copies and near-copies stay together"
        + _kept_together(spec),
        *_left_out(split),
        *where_labels_changed(images, split),
    )
    counts = [images.counts(split.of(p)) for p in ("train", "validation", "test")]
    rows = tuple(
        (printable(name), *(f"{c[i]:,}" for c in counts)) for i, name in enumerate(images.class_names)
    )
    return Step("Split", sentences, Table(("class", "training", "validation", "test"), rows, (1, 2, 3)))


def _kept_together(spec: DataSpec) -> str:
    if spec.group is None:
        return "."
    what = "the sessions that the audit found" if spec.group == AUTO else "your groups"
    return f", and so do {what}{by_key('data.group')}."


def _left_out(split: Split) -> list[str]:
    sentences = []
    if "excluded" in split.left_out:
        sentences.append(
            f"{len(split.left_out['excluded']):,} images are left out, as the list asks{by_key('data.exclude')}."
        )
    if "leak" in split.left_out:
        sentences.append(
            f"{len(split.left_out['leak']):,} images that are also in a part that must stay unseen, or nearly the "
            f"same as one there, were dropped from training{by_key('data.on_leak=drop')}."
        )
    elif len(split.leaks):
        sentences.append(
            f"{len(split.leaks):,} images to learn from are also in a part that should be unseen, or nearly "
            f"the same as one there, and were kept{by_key('data.on_leak=keep')}."
        )
    return sentences


def model_step(rows: Sequence[LayerRow], spec: ModelSpec | None = None) -> Step:
    """Model: every layer, and in a sentence how the maps shrink and where the parameters are.

    Args:
        rows: Of the walk.
        spec: The layers, for what there is to say about a backbone.
    """
    total = sum(r.params for r in rows)
    trainable = sum(r.trainable for r in rows)
    macs = sum(r.multiply_adds for r in rows)
    body = tuple(
        (
            r.name,
            f"{r.kind} {r.setting}".strip(),
            "x".join(map(str, r.output)),
            f"{r.params:,}",
            f"{r.multiply_adds:,}" if r.multiply_adds else "",
            f"{r.receptive_field[0]}x{r.receptive_field[1]}" if r.receptive_field else "",
        )
        for r in rows
    )
    frozen = f" ({trainable:,} trainable)" if trainable != total else ""
    return Step(
        "Model",
        (
            f"{total:,} parameters{frozen}, {macs:,} multiply-adds for one image.",
            *(backbone_sentences(spec) if spec else ()),
            *_shrinking(rows),
            _heaviest(rows, total),
        ),
        Table(
            ("layer", "what it is", "output", "parameters", "multiply-adds", "receptive field"),
            body,
            (2, 3, 4, 5),
            whole=True,  # without its output it would not be the network
        ),
    )


def _shrinking(rows: Sequence[LayerRow]) -> list[str]:
    pools = [
        (before.output, after.output)
        for before, after in pairwise(rows)
        if after.kind in ("MaxPooling2D", "AveragePooling2D")
    ]
    if not pools:
        return []
    steps = " and from ".join(f"{a[0]}x{a[1]} to {b[0]}x{b[1]}" for a, b in pools)
    return [f"Pooling shrinks the maps from {steps}; each value then stands for more of the image."]


def _heaviest(rows: Sequence[LayerRow], total: int) -> str:
    heaviest = max(rows, key=lambda r: r.params)
    if heaviest.kind == "Backbone":
        rest = total - heaviest.params
        return f"The backbone has {heaviest.params:,} of the parameters, and the layers after it {rest:,}."
    share = heaviest.params / total
    return f"Most parameters are in {heaviest.name}: {heaviest.params:,}, which is {share:.0%} of them all."


def compile_step(spec: TrainingSpec, classes: int, steps: int, search: RateSearch | None = None) -> Step:
    """Compile: optimizer, its rate over all ``steps``, loss, metrics, and why this loss."""
    why = (
        "labels are 0 or 1 and the output is one probability"
        if classes == 2
        else f"labels are one-hot over {classes} classes and the output is a probability for each"
    )
    # Before a run, auto is not a number yet.
    searched = spec.learning_rate == "auto"
    rate = "the learning rate that range tests will find" if searched else f"a learning rate of {spec.rate:g}"
    return Step(
        "Compile",
        (
            f"Optimizer {spec.optimizer} at {rate}; loss {loss_name(classes)}, "
            f"because {why}; metric accuracy.",
            *_rate_origin(search),
            *_schedule(spec, steps),
            *_refinements(spec),
        ),
    )


def _rate_origin(search: RateSearch | None) -> list[str]:
    if search is None:
        return []
    low, high = search.sweeps[0].rates[0], max(s.rates[-1] for s in search.sweeps)
    return [
        f"That rate was found by {len(search.sweeps)} range tests, each with different first weights and one step at "
        f"every rate from {low:g} to {high:.2g}{by_key('training.learning_rate=auto')}."
    ]


def _schedule(spec: TrainingSpec, steps: int) -> list[str]:
    if spec.schedule == "constant":
        return []
    rise = warmup_steps(spec, steps)
    low = "" if spec.learning_rate == "auto" else f" from {spec.rate * RISE_FROM:g}"
    start = f"rises{low} over the first {rise:,} of {steps:,} steps" if rise else "starts there"
    return [f"That rate is the highest: it {start} and falls to 0 by step {steps:,} ({spec.schedule})."]


def _refinements(spec: TrainingSpec) -> list[str]:
    refinements = [
        (spec.label_smoothing, f"targets smoothed by {spec.label_smoothing:g}"),
        (spec.weight_decay, f"weight decay {spec.weight_decay}"),
        (spec.clip_norm, f"gradients clipped to a norm of {spec.clip_norm:g}"),
        (spec.ema, f"a moving average of the weights with momentum {spec.ema:g}, which is what is kept"),
        (spec.class_weights == "balanced", "the loss of rare classes weighs more"),
        (spec.precision == "bfloat16", "products in bfloat16, weights and loss in float32"),
    ]
    phrases = [phrase for on, phrase in refinements if on]
    return [f"{phrases[0][0].upper()}{'; '.join(phrases)[1:]}."] if phrases else []


def train_step(
    recipe: Recipe,
    train_images: int,
    start: TrainingState | None = None,
    notes: Sequence[str] = (),
    mirrors: Mirrors | None = None,
) -> Step:
    """Train: how much work is ahead, and how much of it is done."""
    spec = recipe.training
    steps = -(-train_images // spec.batch_size)
    sentences = [
        f"{spec.epochs} epoch{'s' if spec.epochs != 1 else ''} of {train_images:,} images in batches of "
        f"{spec.batch_size}: {steps:,} steps each, seed {spec.seed}, "
        f"{spec.threads} thread{'s' if spec.threads != 1 else ''}."
    ]
    sentences += mirror_sentences(recipe.augmentation.flip, mirrors)
    kept = views_kept(recipe)
    if kept:
        once = "each image is computed once"
        if active_augmentations(recipe.augmentation):
            once = (
                f"each of {kept} varied versions of a training image is computed once"
                if kept > 1
                else "a varied version of each training image is computed once"
            )
        turns = ", which take turns with these versions," if kept > 1 else ""
        sentences.append(
            f"The backbone does not learn, so what it makes of {once}, before the first epoch, and kept in the cache; "
            f"the epochs{turns} train the layers after it."
        )
    if start is not None:
        within = f" and {start.step:,} steps of the next" if start.step else ""
        done = f"{start.epoch} epoch{'s' if start.epoch != 1 else ''}"
        verb = "is" if start.epoch == 1 and not within else "are"
        sentences.append(f"Continues from a checkpoint: {done}{within} {verb} done.")
    return Step("Train", (*sentences, *notes))


def early_stopping_step(training: Training, spec: TrainingSpec) -> Step:
    """Early stopping: when training ended, and whose weights are kept."""
    last = training.history[-1].epoch
    kept = next(row for row in training.history if row.epoch == training.kept_epoch)
    end = (
        f"Training ended after epoch {last} of {spec.epochs}, because {spec.monitor} had not improved for "
        f"{spec.early_stopping} epochs."
        if last < spec.epochs
        else f"All {last} epochs were trained."
    )
    value = getattr(kept, spec.monitor)
    return Step(
        "Early stopping",
        (f"{end} The model has the weights of epoch {kept.epoch} ({spec.monitor} {value:.4f}).",),
    )


def folder_step(path: Path, names: Sequence[str]) -> Step:
    """The run folder and what to do next."""
    opened = f"Open {path / 'report.html'} in a browser; classify"
    following = {
        "terminal": f"{opened} a picture with: conviction predict {path} IMAGE",
        "python": f"{opened} pictures with: conviction.load_run({str(path)!r}).predict(images)",
        "page": "Its report is at Take away.",
    }
    return Step("Keep", (f"Everything is in {path}: {', '.join(names)}.", following[listening()]))


def printable(name: str) -> str:
    """File and class names can hold line breaks and lone surrogates; a terminal and JSON cannot."""
    return "".join(c if c.isprintable() else "?" for c in name)
