"""Images that many processes read: written once and mapped by each, or put once into a cluster's object store."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from conviction.data import Audit, ImageSet
from conviction.data.image_set import HASH_BYTES
from conviction.data.rule import DecodingRule
from conviction.errors import StorageError

_HASHES = np.dtype(f"V{HASH_BYTES}")
# Only the audit and exports need these; a trial does not.
_NOT_ASKED_FOR: dict[str, Any] = {
    "thumbs": np.empty((0, 32, 32, 1), np.uint8),
    "origin": None,
}


@dataclass(frozen=True)
class Shared:
    """What a trial needs of the data: the images, and the audit's groups (n,) int64 and exclusions (n,) bool."""

    images: ImageSet
    groups: np.ndarray
    excluded: np.ndarray


def share(images: ImageSet, audit: Audit, folder: Path) -> None:
    """Writes what ``open_shared`` reads; pixels that are already mapped from a file stay where they are."""
    folder.mkdir(parents=True)
    pixels = images.pixels
    mapped_file = None
    if isinstance(pixels, np.memmap) and pixels.filename and pixels.flags.c_contiguous:
        mapped_file = {
            "file": str(pixels.filename),
            "offset": int(pixels.offset),
            "shape": list(pixels.shape),
        }
    else:
        np.save(folder / "pixels.npy", pixels)
    np.savez(
        folder / "rest.npz",
        labels=images.labels,
        hashes=images.hashes.view(np.uint8).reshape(len(images), HASH_BYTES),
        pixel_hashes=images.pixel_hashes.view(np.uint8).reshape(len(images), HASH_BYTES),
        parts=images.parts,
        names=np.array(images.names),
        groups=audit.groups,
        excluded=audit.excluded,
    )
    about = {
        "name": images.name,
        "location": images.location,
        "stored": images.stored,
        "class_names": images.class_names,
        "rule": images.rule.model_dump(mode="json"),
        "pixels": mapped_file,
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def put(images: ImageSet, audit: Audit, ray: Any) -> Any:
    """Puts what ``open_shared`` reads into Ray's object store, and returns a reference to it.

    Raises:
        StorageError: The store has no room.
    """
    # Ray reads a plain ndarray in place from the store, but copies a subclass such as a memmap.
    kept = replace(images, pixels=np.ascontiguousarray(images.pixels).view(np.ndarray), **_NOT_ASKED_FOR)
    try:
        return ray.put(Shared(kept, audit.groups, audit.excluded))
    except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError):
        raise StorageError(
            f"--on ray: the images, {images.pixels.nbytes / 1e9:.1f} GB, do not fit into Ray's object store. Start the "
            "cluster with a larger --object-store-memory."
        ) from None


@lru_cache(maxsize=2)
def open_shared(data: Any) -> Shared:
    """Maps the folder that ``share`` wrote, or reads what ``put`` stored; a worker opens it once for all its trials."""
    if isinstance(data, str):
        return _mapped(Path(data))
    import ray

    shared: Shared = ray.get(data)
    return shared


def _mapped(path: Path) -> Shared:
    about = json.loads((path / "about.json").read_text(encoding="utf-8"))
    mapped_file = about["pixels"]
    if mapped_file is None:
        pixels = np.load(path / "pixels.npy", mmap_mode="r")
    else:
        pixels = np.memmap(
            mapped_file["file"], np.uint8, "r", mapped_file["offset"], tuple(mapped_file["shape"])
        )
    with np.load(path / "rest.npz") as rest:
        images = ImageSet(
            name=about["name"],
            location=about["location"],
            pixels=pixels,
            labels=rest["labels"],
            hashes=np.ascontiguousarray(rest["hashes"]).view(_HASHES).reshape(-1),
            pixel_hashes=np.ascontiguousarray(rest["pixel_hashes"]).view(_HASHES).reshape(-1),
            names=rest["names"].tolist(),
            parts=rest["parts"],
            class_names=about["class_names"],
            rule=DecodingRule.model_validate(about["rule"]),
            stored=about["stored"],
            **_NOT_ASKED_FOR,
        )
        return Shared(images, rest["groups"], rest["excluded"])
