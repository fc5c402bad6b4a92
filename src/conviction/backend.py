"""Keras, imported late, quietly, and set as a run needs it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from multiprocessing import resource_tracker
from types import ModuleType
from typing import Any

from conviction.errors import RequestError, did_you_mean
from conviction.extras import MissingPackageError
from conviction.process import default_variable, is_own_process, settle, undone_at_the_end

BACKEND_VARIABLE = "KERAS_BACKEND"
BACKENDS = ("tensorflow", "jax")


def import_keras() -> ModuleType:
    """Imports Keras on the backend that ``KERAS_BACKEND`` names (TensorFlow by default).

    Raises:
        RequestError: There is no such backend, it is not installed, or Keras cannot be imported.
    """
    if "keras" not in sys.modules:
        default_variable(BACKEND_VARIABLE, _default_backend())
        default_variable("TF_CPP_MIN_LOG_LEVEL", "3")
        _check_backend(os.environ[BACKEND_VARIABLE])
        try:
            with signals_wait(), quiet_stderr():
                import keras
        except ImportError as failure:
            raise RequestError(
                f"Keras cannot be imported ({failure}). Install conviction again in a new environment, which then has "
                "everything that Keras needs."
            ) from None
        except Exception as failure:  # including errors caused by keras.json
            reason = " ".join(str(failure).split())[:200]
            raise RequestError(
                f"Keras cannot be imported ({type(failure).__name__}: {reason}). If it names a setting, correct or "
                f"remove keras.json in {os.environ.get('KERAS_HOME', '~/.keras')}."
            ) from None
    import keras

    settle(keras)
    name = loaded_backend()
    if name is not None and name not in BACKENDS:
        raise RequestError(
            f"Keras already runs on '{name}' in this process; expected tensorflow or jax. Start a new process and set "
            f"{BACKEND_VARIABLE} there before Keras is imported."
        )
    return keras


def _default_backend() -> str:
    """The first backend that is installed.

    Raises:
        MissingPackageError: There is none.
    """
    installed = [name for name in BACKENDS if find_spec(name) is not None]
    if not installed or find_spec("keras") is None:
        raise MissingPackageError(
            "networks are trained with Keras on TensorFlow or JAX, which are not installed: pip install "
            "'conviction[tensorflow]' or 'conviction[jax]'"
        )
    return installed[0]


def backend_of_exports() -> str:
    """TensorFlow, on which every format is written and read; JAX, where that is all there is, for Keras files."""
    return "jax" if find_spec("tensorflow") is None and find_spec("jax") is not None else "tensorflow"


def _check_backend(name: str) -> None:
    if name not in BACKENDS:
        raise RequestError(
            f"{BACKEND_VARIABLE}={name}: expected tensorflow or jax.{did_you_mean(name, BACKENDS)} If it is not set, "
            "the backend is tensorflow."
        )
    if find_spec(name) is None:
        raise MissingPackageError(
            f"{BACKEND_VARIABLE}={name}: {name} is not installed. Install it with pip install 'conviction[{name}]', or "
            "unset the variable."
        )


def loaded_backend() -> str | None:
    """The backend on which Keras runs in this process; None if Keras has not been imported."""
    keras = sys.modules.get("keras")
    return keras.backend.backend() if keras is not None and hasattr(keras, "backend") else None


def has_threads(threads: int) -> bool:
    """Whether this process computes with this many threads, or still can: TensorFlow cannot change the number later.

    Nothing is imported. On JAX the number is that of the process's affinity, whatever the caller asks for.
    """
    name = loaded_backend() or os.environ.get(BACKEND_VARIABLE) or _default_backend()
    if name != "tensorflow" or is_own_process():
        return True
    return threads == (_tensorflow_threads() if "tensorflow" in sys.modules else usable_cores())


def _tensorflow_threads() -> int:
    import tensorflow as tf

    # 0 is TensorFlow's own choice, as many as there are cores: after `import keras` in a notebook, say.
    return tf.config.threading.get_intra_op_parallelism_threads() or usable_cores()


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

    current = _tensorflow_threads()
    if current != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            raise RequestError(
                f"training.threads={threads}: TensorFlow already runs in this process with "
                f"{current} threads. Start a new process, or ask for that number."
            ) from None
    _be_deterministic()
    with quiet_stderr():
        tf.constant(0)  # starts the runtime, which reports on the processor once


def _be_deterministic() -> None:
    import tensorflow as tf

    try:  # undoing it is not public
        from tensorflow.python.framework.config import disable_op_determinism, is_op_determinism_enabled
    except ImportError:
        tf.config.experimental.enable_op_determinism()
        return
    if not is_op_determinism_enabled():
        tf.config.experimental.enable_op_determinism()
        # Left on, a plain Keras dropout layer would ask for a seed.
        undone_at_the_end(disable_op_determinism)


def usable_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def bfloat16_in_hardware() -> bool | None:
    """Whether this processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX); None where unknown."""
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


def gpu_names() -> list[str]:
    """The GPUs that the backend computes on, by what their maker calls them; imports it."""
    if not has_gpu():
        return []
    if import_keras().backend.backend() == "jax":
        return [device.device_kind for device in sys.modules["jax"].devices()]
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [str(one.get("device_name", "GPU")) for one in details]


def proc_value(path: str, key: str) -> str | None:
    """What Linux reports after ``key:`` in a file below /proc; None elsewhere."""
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
    """The memory that is free or that the system could free; None where the system does not report it."""
    available = proc_value("/proc/meminfo", "MemAvailable")
    return int(available.split()[0]) * 1024 if available else None


def versions() -> dict[str, Any]:
    """The backend's name and version; Keras must be imported already or will be."""
    keras = import_keras()
    name = keras.backend.backend()
    backend = sys.modules[name]
    return {"keras": keras.__version__, "backend": name, name: getattr(backend, "__version__", "unknown")}


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Processes spawned inside this block do not import the script that runs.

    They do not need it, and a script without ``if __name__ == "__main__":`` would start again in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """SIGINT and SIGTERM that arrive inside this block are delivered at its end.

    What their handlers raise would come out of the middle of an import: some libraries swallow it there, so that the
    signal is lost, and others crash.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        handlers = {}  # Python does not call them here
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
def children_without_ctrl_c() -> Iterator[None]:
    """Processes started inside this block do not receive SIGINT; this one receives it at the end.

    Ctrl-C reaches every process at a terminal. One that is still importing would print a traceback there before it
    could leave the signal to its parent.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # It lifts such a block when it starts its own process, so it must be running first.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keeps C++ libraries from writing to the terminal; if the block fails, their output is shown."""
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all, as under some services
        yield
        return
    if os.fstat(2).st_rdev == os.stat(os.devnull).st_rdev:  # nobody sees what they write
        os.close(saved)
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
