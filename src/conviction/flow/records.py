"""What a run records about itself besides its figures."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conviction.audience import without_home
from conviction.backend import import_keras
from conviction.config import Recipe
from conviction.data.image_set import PARTS, labels_hash
from conviction.data.named import NAMED_SETS
from conviction.flow.prepare import Prepared
from conviction.runs.environment import describe_environment, peak_memory_bytes
from conviction.training import Training


def provenance(ready: Prepared) -> dict[str, Any]:
    """What a checkpoint came from: the specification, and whatever else decides the bits."""
    environment = describe_environment()
    return {
        "specification": ready.recipe.model_dump(mode="json"),
        "versions": environment["versions"],
        "processor": environment["hardware"]["processor"],
    }


def source_name(source: str | Path) -> str:
    """The source as a run records it: a named set by its name, anything else by its full path, home being ``~``."""
    return str(source) if str(source) in NAMED_SETS else without_home(Path(source).expanduser().resolve())


def data_json(source: str | Path, ready: Prepared) -> dict[str, Any]:
    """``data.json``: where the images came from, the audit, and the split, a hash per image."""
    images, split = ready.images, ready.split
    return {
        "source": source_name(source),
        "name": images.name,
        "location": without_home(images.location),
        "stored": images.stored,
        "conversions": images.conversions,
        "unused": [u.to_json() for u in images.unused],
        "decoding": images.rule.model_dump(),
        "class_names": images.class_names,
        "labels_hash": labels_hash(images, split.all),
        **({} if images.relabelled is None else {"relabelled": asdict(images.relabelled)}),
        **({} if ready.mirrors is None else {"mirrors": asdict(ready.mirrors)}),
        "counts": {part: images.counts(split.of(part)) for part in PARTS},
        "audit": {
            "unreadable": {u.name: u.reason for u in images.unreadable},
            "findings": [f.to_json(images) for f in ready.audit.findings],
        },
        **ready.audit.kept_json(images),
        "split": {
            "test_origin": split.test_origin,
            "validation_origin": split.validation_origin,
            "test_hash": split.test_hash,
            "left_out": {why: [images.names[i] for i in which] for why, which in split.left_out.items()},
            **{
                part: dict(
                    zip(
                        (images.names[i] for i in split.of(part)),
                        images.hex_hashes(split.of(part)),
                        strict=True,
                    )
                )
                for part in PARTS
            },
        },
    }


def environment_json(started: float, recipe: Recipe, training: Training) -> dict[str, Any]:
    """``environment.json``: what the run ran on, how long it took, and what decides the bits."""
    import_keras()
    return {
        **describe_environment(),
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": {"training": training.seconds, "total": time.time() - started},
        "peak_memory_bytes": peak_memory_bytes(),
        "precision": recipe.training.precision,
        "seed": recipe.training.seed,
        "threads": recipe.training.threads,
    }
