"""Predictions as Parquet, from one process and from many: the same columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from conviction.artefacts.predict import FilePrediction
from conviction.errors import RequestError

if TYPE_CHECKING:
    import pyarrow


def pyarrow_for(what: str) -> tuple[Any, Any]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        RequestError: They are not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise RequestError(f"{what}: needs PyArrow: pip install 'conviction[parquet]'") from None
    return pa, pq


def prediction_schema(class_names: Sequence[str]) -> pyarrow.Schema:
    """Columns file, label, probability, and probabilities with a field for each class."""
    import pyarrow as pa

    each = pa.struct([(name, pa.float64()) for name in class_names])
    return pa.schema(
        {"file": pa.string(), "label": pa.string(), "probability": pa.float64(), "probabilities": each}
    )


def prediction_table(predictions: Sequence[FilePrediction], class_names: Sequence[str]) -> pyarrow.Table:
    """A row for each prediction, in their order."""
    import pyarrow as pa

    schema = prediction_schema(class_names)
    columns = [pa.array([p.probabilities[name] for p in predictions], pa.float64()) for name in class_names]
    return pa.Table.from_arrays(
        [
            pa.array([text(p.file) for p in predictions], pa.string()),
            pa.array([p.label for p in predictions], pa.string()),
            pa.array([p.probability for p in predictions], pa.float64()),
            pa.StructArray.from_arrays(columns, fields=list(schema.field("probabilities").type)),
        ],
        schema=schema,
    )


def text(name: str) -> str:
    """A file name that is not UTF-8, with escapes; any other name unchanged."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
