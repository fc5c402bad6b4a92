"""``conviction predict --on ray``: a folder of any size, answered in numbered shards, each exactly once."""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction.artefacts.formats import onnx_file
from conviction.artefacts.opening import load
from conviction.artefacts.parquet import prediction_table, pyarrow_for, text
from conviction.artefacts.predict import FilePrediction, check_abstain_below, classify
from conviction.audience import call, on_ray
from conviction.cluster.connection import connected
from conviction.cluster.request import LISTING, Request, the_request
from conviction.cluster.storage import ListedPictures, open_storage, short_error
from conviction.data.image_set import Unreadable
from conviction.data.unused import Unused
from conviction.errors import ClusterError, ConvictionError, Interrupted, OutputError, RequestError
from conviction.runs import folder
from conviction.training import stop_on_signals

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

PREDICTIONS, UNREADABLE = "predictions", "unreadable.parquet"
# ListedPictures in a shard: about a second of work, which is what a killed node loses.
SHARD = 1_000
# How long a thread of Ray Data may take to end.
THREAD_SECONDS = 60.0
KEPT = "What has been answered is kept; the same command continues from there."

# (shards as they are answered, how many there will be) -> the same
Watch = Callable[[Iterable[int], int], Iterable[int]]


@dataclass(frozen=True)
class FolderPredictions:
    """The result of a request, over all calls."""

    images: int
    predicted: int
    unreadable: list[Unreadable]
    unused: tuple[Unused, ...]


def predict_folder(
    artefact: str | Path,
    source: str,
    out: str,
    abstain_below: float = 0.0,
    *,
    shard: int = SHARD,
    watch: Watch = lambda shards, total: shards,
) -> FolderPredictions:
    """Classifies every picture of a folder on a Ray cluster; continues where an earlier call stopped.

    ``out`` gets ``predictions/part-*.parquet``, ``unreadable.parquet``, ``listing.parquet`` and ``manifest.json``.

    Args:
        artefact: An ``.onnx`` file of ``conviction export``; only this machine needs it.
        source: A folder that every node sees, or an address that fsspec knows.
        out: Another such folder or address; new, empty, or of the same request.
        abstain_below: In [0, 1]; below it the label is None.
        shard: ListedPictures that are answered and kept together; a folder of an earlier call keeps that call's number.
        watch: Receives the numbers of shards as they are answered.

    Raises:
        RequestError: The artefact, the source, the folder or the cluster is not what is needed.
        ClusterError: A node does not see the data, a storage refuses, or the cluster fails; answers are kept.
        Interrupted: SIGINT or SIGTERM; answers are kept.
    """
    check_abstain_below(abstain_below)
    model = _model(Path(artefact))
    pyarrow_for(on_ray())
    target = open_storage(out)
    with ExitStack() as stack:
        stack.enter_context(_explained_interrupts())
        if target.fs is None:
            stack.enter_context(_folder_of_its_own(Path(target.root)))
        request = the_request(open_storage(source), target, model, abstain_below, shard)
        there = target.names(PREDICTIONS)
        waiting = [n for n in range(request.shards) if _part(n) not in there]
        if waiting:
            stack.enter_context(connected())
            answered = stack.enter_context(closing(_answer(request, waiting)))
            for _ in watch(answered, len(waiting)):
                pass
        return _finish(request)


@contextmanager
def _explained_interrupts() -> Iterator[None]:
    """Turns SIGINT and SIGTERM, which need no cleaning up, into an error with their code that says how to continue."""
    with stop_on_signals() as stop:
        stop.patient = False
        try:
            yield
        except KeyboardInterrupt:
            number = stop.signal_number or signal.SIGINT
            raise Interrupted(f"Stopped by {signal.Signals(number).name}. {KEPT}", number) from None


@contextmanager
def _folder_of_its_own(path: Path) -> Iterator[None]:
    """Makes the folder of answers and keeps other commands out; removes a new one that has stayed empty."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: expected a new folder, or one of an earlier prediction; this is a file.")
    made = not path.exists()
    with folder.storing(path):
        path.mkdir(parents=True, exist_ok=True)
    try:
        with folder.claimed(path):
            yield
    finally:
        if made:
            with suppress(OSError):
                path.rmdir()


def _model(path: Path) -> bytes:
    if path.suffix.lower() != ".onnx":
        run = path if path.is_dir() else "RUN"
        raise RequestError(
            f"{path}: on a cluster the model runs in onnxruntime; expected an .onnx file. Make one with: "
            f"{call('export', run, '--format onnx', repr(['onnx']))}"
        )
    load(path, threads=1)
    return path.read_bytes()


def _part(shard: int) -> str:
    return f"part-{shard:06d}.parquet"


def _answer(request: Request, shards: Sequence[int]) -> Generator[int, None, None]:
    """Has the cluster answer shards, and yields the number of each when its part is written."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # failures are reported below
    cores = int(ray.cluster_resources().get("CPU", 0))
    if not cores:
        raise ClusterError(f"{on_ray()}: the cluster has no processor: start its nodes with --num-cpus.")
    answered = ray.data.from_items(
        [{"shard": n} for n in shards], override_num_blocks=len(shards)
    ).map_batches(
        _Classifier,
        fn_constructor_args=(request,),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, initial_size=min(cores, len(shards))),
    )
    try:
        # Nothing is fetched ahead, because the thread for that would not end with the others.
        batches = answered.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        with closing(iter(batches)) as following:
            for batch in following:
                for row in batch.to_pylist():
                    if row["failure"]:
                        raise ClusterError(f"{row['failure']} {KEPT}")
                    yield row["shard"]
    except ConvictionError:
        raise
    except Exception as failure:  # Ray and Ray Data have no common error
        raise ClusterError(f"{on_ray()}: the cluster failed ({_in_short(failure)}). {KEPT}") from None
    finally:
        _end_threads(answered._current_executor)


def _end_threads(executor: Any) -> None:
    """Waits for the threads of Ray Data, for longer than it does itself, which is too short on a busy machine.

    A thread that outlives the connection to Ray would connect again and keep this process alive, or make Ray end the
    process with a code of its own.
    """
    if executor is not None:
        executor.shutdown(force=False)  # with force it would wait for generators, and fail
        executor.join(THREAD_SECONDS)
    # These threads form batches from the executor's output, which has ended.
    for thread in [t for t in threading.enumerate() if t.name == "iter_threaded"]:
        thread.join(THREAD_SECONDS)


def _in_short(failure: Exception) -> str:
    """Shortens Ray's message, which fills a page: the first line says what died, the last one says why."""
    lines = [line.strip() for line in f"{type(failure).__name__}: {failure}".splitlines() if line.strip()]
    return lines[0][:200] if len(lines) == 1 else f"{lines[0][:200]} ... {lines[-1][:200]}"


class _Classifier:
    """Answers shards on a node, one core and one onnxruntime session each."""

    def __init__(self, request: Request) -> None:
        import ray

        node_id = ray.get_runtime_context().get_node_id()[:8]
        self.node = f"{ray.util.get_node_ip_address()} ({node_id})"
        self.request = request
        self.listing: Any = None
        with tempfile.TemporaryDirectory() as beside:
            path = Path(beside, "model.onnx")
            path.write_bytes(request.model)
            self.model = onnx_file.read(path, threads=1)  # tried where it came from, before it was sent here

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list]:
        """{"shard": (1,) int64} -> the same, and why it could not be answered, or ""."""
        shard = int(batch["shard"][0])
        try:
            self._answer(shard)
        except ConvictionError as failure:
            end = "" if str(failure).endswith((".", "?")) else "."
            return {"shard": [shard], "failure": [f"node {self.node}: {failure}{end}"]}
        return {"shard": [shard], "failure": [""]}

    def _answer(self, shard: int) -> None:
        pa, parquet = pyarrow_for(on_ray())
        request = self.request
        listed = self._listed(shard)
        names = [os.fsdecode(name) for name in listed["name"].to_pylist()]
        pictures = ListedPictures(request.source, names, listed["size"].to_pylist())
        answers = list(classify(self.model, pictures.files(request.prefix), request.abstain_below))
        if pictures.unreached == len(names):
            raise ClusterError(
                f"{request.source.at(names[0])} cannot be reached, nor can the rest of its shard ({pictures.why}); is "
                f"{request.source.address} a folder that every node sees?"
            )
        predictions = [f for f in answers if isinstance(f, FilePrediction)]
        unreadable = [asdict(f) for f in answers if isinstance(f, Unreadable)]
        table = prediction_table(predictions, self.model.class_names)
        # One file holds the whole shard, so a shard cannot be half written.
        table = table.replace_schema_metadata({UNREADABLE: json.dumps(unreadable)})
        with request.out.writing(f"{PREDICTIONS}/{_part(shard)}") as file:
            sink = pa.BufferOutputStream()
            parquet.write_table(table, sink)
            file.write(sink.getvalue())

    def _listed(self, shard: int) -> pyarrow.Table:
        """That shard of the listing.

        Raises:
            ClusterError: This node does not see the folder of answers.
        """
        out = self.request.out
        if self.listing is None:
            _, parquet = pyarrow_for(on_ray())
            try:
                self.listing = parquet.ParquetFile(out.open(LISTING))
            except Exception as failure:  # each storage has errors of its own
                raise ClusterError(
                    f"{out.at(LISTING)}: cannot be read ({short_error(failure)}); is {out.address} a folder that every "
                    "node sees?"
                ) from None
            if self.listing.schema_arrow.metadata.get(b"request") != self.request.id.encode():
                raise ClusterError(
                    f"{out.at(LISTING)}: belongs to another request; is {out.address} a folder that every node sees?"
                )
        return self.listing.read_row_group(shard)


def _finish(request: Request) -> FolderPredictions:
    """Checks the parts against the listing, and gathers the unreadable pictures into a file of their own."""
    with ThreadPoolExecutor(16) as pool:
        parts = list(pool.map(lambda n: _counted(request, n), range(request.shards)))
    unreadable = [u for _, some in parts for u in some]
    predicted = sum(rows for rows, _ in parts)
    pa, parquet = pyarrow_for(on_ray())
    columns = {
        "file": pa.array([text(u.name) for u in unreadable], pa.string()),
        "reason": pa.array([text(u.reason) for u in unreadable], pa.string()),
    }
    with request.out.writing(UNREADABLE) as file:
        parquet.write_table(pa.table(columns), file)
    request.out.sweep("", "listing", "manifest", "unreadable")
    request.out.sweep(PREDICTIONS, "part")
    return FolderPredictions(request.images, predicted, unreadable, request.unused)


def _counted(request: Request, shard: int) -> tuple[int, list[Unreadable]]:
    """(predictions, pictures that could not be read) of a part.

    Raises:
        ClusterError: It is damaged, or its numbers do not add up to the listing.
    """
    _, parquet = pyarrow_for(on_ray())
    name = f"{PREDICTIONS}/{_part(shard)}"
    try:
        with request.out.open(name) as file:
            footer = parquet.read_metadata(file)
        unreadable = [Unreadable(**u) for u in json.loads(footer.metadata[UNREADABLE.encode()])]
    except Exception as failure:  # each storage has errors of its own
        raise ClusterError(
            f"{request.out.at(name)}: cannot be read ({short_error(failure)}). {_AGAIN}"
        ) from None
    if footer.num_rows + len(unreadable) != request.size(shard):
        raise ClusterError(
            f"{request.out.at(name)}: has {footer.num_rows} predictions and {len(unreadable)} unreadable pictures, "
            f"of {request.size(shard)}. {_AGAIN}"
        )
    return footer.num_rows, unreadable


_AGAIN = "Remove it, and give the same command again."
