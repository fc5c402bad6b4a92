"""Sources, decoding, splits, and the batches that training sees."""

from conviction.data.audit import Audit, audit_images
from conviction.data.decode import DecodingRule
from conviction.data.encode import encode_labels
from conviction.data.findings import Finding
from conviction.data.image_set import ImageSet
from conviction.data.named import NAMED_SETS
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
