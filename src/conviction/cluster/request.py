"""The request for a prediction on a cluster, kept in its folder: the manifest, and the listing in shards."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from conviction.artefacts.parquet import pyarrow_for
from conviction.audience import on_ray, option
from conviction.cluster.storage import Storage, asked, pictures_in
from conviction.config.text import MOST_JSON, read_json, shortened
from conviction.data.unused import Kind, PassedOver, Unused, count_unused, unused_sentence
from conviction.errors import OutputError, RequestError
from conviction.runs.content import Content, Name, validated
from conviction.runs.data_content import RunUnused

MANIFEST, LISTING = "manifest.json", "listing.parquet"
_UNWRITABLE = "answers cannot be written there"


@dataclass(frozen=True)
class Request:
    """A request, as plain values that can be sent to nodes.

    Attributes:
        id: Its identity, in the manifest and in the listing.
        source: The pictures.
        prefix: What the names of pictures begin with.
        out: Where answers are written.
        model: The content of the ONNX file.
        abstain_below: Below it the label is None.
        images: The number of pictures in the listing.
        unused: Other files beside them.
        shard: The number of pictures in each shard but the last.
    """

    id: str
    source: Storage
    prefix: str
    out: Storage
    model: bytes
    abstain_below: float
    images: int
    unused: tuple[Unused, ...]
    shard: int

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-self.images // self.shard)

    def size(self, shard: int) -> int:
        """The number of pictures in that shard."""
        return min(self.shard, self.images - shard * self.shard)


class _Unused(RunUnused):
    kind: Kind


class Manifest(Content):
    """What ``manifest.json`` holds; see ``Request``.

    Attributes:
        artefact: The SHA-256 of the ONNX file.
        source: ``Storage.root`` of the pictures.
        unused: Missing in a manifest of an earlier version.
    """

    version: Literal[1] = 1
    id: str
    artefact: str
    source: Name
    abstain_below: Annotated[float, Field(ge=0, le=1)]
    prefix: Name
    shard: Annotated[int, Field(ge=1)]
    images: Annotated[int, Field(ge=1)]
    unused: list[_Unused] = Field(default_factory=list)


def the_request(source: Storage, out: Storage, model: bytes, abstain_below: float, shard: int) -> Request:
    """The request that has begun in ``out``, with its listing and shard size; otherwise a new one.

    Raises:
        OutputError: The folder holds something else, or answers to another request.
        SourceError, RequestError: The source cannot be listed, or has no picture.
    """
    manifest = read_manifest(out)
    asking: dict[str, Any] = {
        "artefact": hashlib.sha256(model).hexdigest(),
        "source": source.root,
        "abstain_below": abstain_below,
    }
    if manifest is None:
        # As pathlib writes it, because ``predict`` without a cluster does.
        prefix = source.address.rstrip("/") if "://" in source.address else str(Path(source.address))
        identity = uuid.uuid4().hex
        images, unused = _list(source, out, identity, shard)
        manifest = Manifest(
            id=identity,
            **asking,
            prefix=prefix,
            shard=shard,
            images=images,
            unused=[_Unused(**one.to_json()) for one in unused],
        )
        with asked(out, _UNWRITABLE), out.writing(MANIFEST) as file:
            file.write(json.dumps(manifest.model_dump(), indent=1).encode())
    differing = [name for name, value in asking.items() if getattr(manifest, name) != value]
    if differing:
        raise OutputError(
            f"{out.address}: holds answers to another request: "
            + "; ".join(f"its {name} is {getattr(manifest, name)}, not {asking[name]}" for name in differing)
            + f". Name another folder with {option('out')}."
        )
    return Request(
        manifest.id,
        source,
        manifest.prefix,
        out,
        model,
        abstain_below,
        manifest.images,
        tuple(
            Unused(kind=one.kind, count=one.count, examples=tuple(one.examples), reason=one.reason)
            for one in manifest.unused
        ),
        manifest.shard,
    )


def read_manifest(out: Storage) -> Manifest | None:
    """The manifest in a folder, if one is there.

    Raises:
        OutputError: The folder holds something else, or the manifest is damaged, or of another version.
    """
    with asked(out, _UNWRITABLE):
        names = out.names()
        if MANIFEST in names:
            with out.open(MANIFEST) as file:
                return _manifest(out, file.read(MOST_JSON + 1))
    strange = {name for name in names if not name.startswith(".")} - {LISTING}
    if strange:
        raise OutputError(
            f"{out.address}: expected a new folder, or one of an earlier prediction; it holds {min(strange)}. "
            f"Name another one with {option('out')}."
        )
    return None


def _manifest(out: Storage, content: bytes) -> Manifest:
    try:
        if len(content) > MOST_JSON:
            raise ValueError(f"more than {MOST_JSON:,} bytes")
        return validated(read_json(content), Manifest, Path(out.at(MANIFEST)))
    except ValueError as failure:
        raise OutputError(
            f"{out.at(MANIFEST)}: the file is damaged, or was written by another version "
            f"({shortened(str(failure))}). Name another folder with {option('out')}."
        ) from None


def _list(source: Storage, out: Storage, identity: str, shard: int) -> tuple[int, tuple[Unused, ...]]:
    """Writes the listing, one row group per shard; returns the number of pictures, and the other files."""
    pa, parquet = pyarrow_for(on_ray())
    # Bytes, because the name of a file need not be text.
    schema = pa.schema({"name": pa.binary(), "size": pa.int64()}, {"request": identity})
    passed: list[PassedOver] = []
    pictures = pictures_in(source, passed)
    rows = list(islice(pictures, shard))
    if not rows:
        raise RequestError(
            f"{source.address}: found no picture there. {unused_sentence(count_unused(passed))}".rstrip()
        )
    images = 0
    with asked(out, _UNWRITABLE), out.writing(LISTING) as file, parquet.ParquetWriter(file, schema) as writer:
        while rows:
            names, sizes = zip(*rows, strict=True)
            columns = [pa.array(map(os.fsencode, names), pa.binary()), pa.array(sizes, pa.int64())]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            images += len(rows)
            rows = list(islice(pictures, shard))
    return images, count_unused(passed)
