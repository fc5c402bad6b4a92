"""Keras, imported late, quietly and with what determinism needs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from conviction.errors import RequestError


def import_keras() -> ModuleType:
    """Imports Keras on the backend that ``KERAS_BACKEND`` names (TensorFlow by default)."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with signals_wait(), quiet_stderr():
            import keras
    import keras

    return keras


def prepare(threads: int) -> None:
    """Fixes what decides the bits besides the seed: deterministic kernels and the number of threads.

    Raises:
        RequestError: TensorFlow already runs in this process with another number of threads, which cannot
            be changed any more.
    """
    keras = import_keras()
    if keras.backend.backend() != "tensorflow":
        # JAX on the CPU is deterministic, and takes its number of threads from the process's affinity.
        return
    import tensorflow as tf

    # 0 is TensorFlow's own choice, as many as there are cores: after `import keras` in a notebook, say.
    current = tf.config.threading.get_intra_op_parallelism_threads() or usable_cores()
    if current != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            raise RequestError(
                f"training.threads={threads}: TensorFlow already runs in this process with "
                f"{current} threads. Start a new process, or ask for that number."
            ) from None
    tf.config.experimental.enable_op_determinism()
    with quiet_stderr():
        tf.constant(0)  # starts the runtime, which reports on the processor once


def usable_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def bfloat16_in_hardware() -> bool | None:
    """Whether this processor multiplies bfloat16 itself (AVX512-BF16 or AMX); None where unknown."""
    flags = proc_value("/proc/cpuinfo", "flags")
    if flags is None:
        return None
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


def has_gpu() -> bool:
    """Whether the backend computes on a GPU; imports it."""
    name = import_keras().backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    return name == "jax" and sys.modules["jax"].default_backend() == "gpu"


def proc_value(path: str, key: str) -> str | None:
    """What Linux says after ``key:`` in a file below /proc; None elsewhere."""
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == key:
                    return value.strip()
    except OSError:
        pass
    return None


def free_bytes() -> int | None:
    """The memory that is free, or that the system would free; None where it does not say."""
    said = proc_value("/proc/meminfo", "MemAvailable")
    return int(said.split()[0]) * 1024 if said else None


def versions() -> dict[str, Any]:
    """The backend's name and version; Keras must be imported already or will be."""
    keras = import_keras()
    name = keras.backend.backend()
    backend = sys.modules[name]
    return {"keras": keras.__version__, "backend": name, name: getattr(backend, "__version__", "unknown")}


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Processes that are spawned meanwhile do not import the script that runs.

    They need nothing of it, and a script without ``if __name__ == "__main__":`` would begin again in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """SIGINT and SIGTERM that come meanwhile are delivered at the end.

    What their handlers raise would come out of the middle of an import: some libraries swallow it there, so that the
    signal is lost, and others crash.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        handlers = {}  # they are not called here
    came: dict[int, None] = {}
    for number in handlers:
        signal.signal(number, lambda number, frame: came.setdefault(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for waiting in came:
            signal.raise_signal(waiting)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keeps C++ libraries from writing to the terminal; if the block fails, what they said is shown."""
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all, as under some services
        yield
        return
    with tempfile.TemporaryFile() as sink:
        sys.stderr.flush()
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except BaseException:
            sink.seek(0)
            os.write(saved, sink.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
