"""Sources, decoding, splits, and the batches that training sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conviction.late import late

if TYPE_CHECKING:
    from conviction.data.audit import Audit, audit_images
    from conviction.data.encode import encode_labels
    from conviction.data.findings import Finding
    from conviction.data.image_set import ImageSet
    from conviction.data.named import NAMED_SETS
    from conviction.data.rule import DecodingRule
    from conviction.data.source import load_source
    from conviction.data.split import Split, split_images

__all__ = [
    "NAMED_SETS",
    "Audit",
    "DecodingRule",
    "Finding",
    "ImageSet",
    "Split",
    "audit_images",
    "encode_labels",
    "load_source",
    "split_images",
]

# A server that only predicts does not wait for what trains.
__getattr__ = late(
    __name__,
    {
        "Audit": "conviction.data.audit",
        "DecodingRule": "conviction.data.rule",
        "Finding": "conviction.data.findings",
        "ImageSet": "conviction.data.image_set",
        "NAMED_SETS": "conviction.data.named",
        "Split": "conviction.data.split",
        "audit_images": "conviction.data.audit",
        "encode_labels": "conviction.data.encode",
        "load_source": "conviction.data.source",
        "split_images": "conviction.data.split",
    },
)
