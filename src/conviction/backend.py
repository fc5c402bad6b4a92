"""Keras, imported late, quietly and with what a run needs; and the process left as it was found."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing import resource_tracker
from types import ModuleType
from typing import Any

from conviction.errors import RequestError, did_you_mean

BACKEND_VARIABLE = "KERAS_BACKEND"
BACKENDS = ("tensorflow", "jax")
# scikit-learn sets these for the OpenMP that it has loaded and that stays loaded; without them macOS ends a process
# that loads another one.
KEPT = "KMP_"
# What a run needs of Keras, whatever keras.json, the environment or the program around it have set. The epsilon is
# that of losses; the limits are KERAS_MAX_EPOCHS and KERAS_MAX_STEPS_PER_EPOCH.
SETTINGS: dict[str, Any] = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "dtype_policy": "float32",
    "max_epochs": None,
    "max_steps_per_epoch": None,
}


class _Calls:
    """Calls of public functions that run in this process at the moment, and how to undo what they have changed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.running = 0
        self.is_ours = False
        self.has_settings = False
        self.undo = contextlib.ExitStack()


_CALLS = _Calls()


def own_process() -> None:
    """Says that this process does nothing but our work, such as that of a command: nothing in it needs restoring."""
    _CALLS.is_ours = True
    with _CALLS.lock:
        _CALLS.running += 1


@contextlib.contextmanager
def process_restored() -> Iterator[None]:
    """What runs within finds Keras set as a run needs it; at the end the process is as it was before.

    For functions that users call, also as a decorator. Calls may stand within one another, and run beside one another
    in threads; the last one restores.
    """
    with _CALLS.lock:
        if not _CALLS.running:
            _remember()
        _CALLS.running += 1
        if "keras" in sys.modules:
            _settle(sys.modules["keras"])
    try:
        yield
    finally:
        with _CALLS.lock:
            _CALLS.running -= 1
            if not _CALLS.running:
                _CALLS.has_settings = False
                _CALLS.undo.close()


def _remember() -> None:
    """What is the interpreter's: libraries that are imported meanwhile change all of it."""
    variables, drawn = dict(os.environ), random.getstate()
    numpy: Any = sys.modules.get("numpy.random")
    arrays_drawn = numpy and numpy.get_state()
    start_method = multiprocessing.get_start_method(allow_none=True)

    def put_back() -> None:
        for name in os.environ.keys() - variables.keys():
            if not name.startswith(KEPT):
                del os.environ[name]
        os.environ.update(variables)
        random.setstate(drawn)
        if numpy:
            numpy.set_state(arrays_drawn)
        # The first process that is spawned settles it, and users could not set theirs any more.
        multiprocessing.set_start_method(start_method, force=True)

    _CALLS.undo.callback(put_back)
    _CALLS.undo.enter_context(warnings.catch_warnings())


def undone_at_the_end(undo: Callable[[], object]) -> None:
    """Calls ``undo`` when the function that the user has called ends; never in a process of our own."""
    with _CALLS.lock:
        if _CALLS.running and not _CALLS.is_ours:
            _CALLS.undo.callback(undo)


def default_variable(name: str, value: str) -> None:
    """Sets a variable of the environment that has no value, until the function that the user has called ends."""
    if not os.environ.get(name):
        os.environ[name] = value


def _settle(keras: ModuleType) -> None:
    if not _CALLS.running or _CALLS.has_settings or not hasattr(keras, "config"):
        return
    _CALLS.has_settings = True
    _restore_global_state()
    for name, needed in SETTINGS.items():
        put: Callable[[Any], object] = getattr(keras.config, f"set_{name}")
        before = getattr(keras.config, name)()
        if (before.name if name == "dtype_policy" else before) != needed:
            put(needed)
            undone_at_the_end(lambda put=put, before=before: put(before))  # type: ignore[misc]


def _restore_global_state() -> None:
    """Names that Keras has given to nameless layers, and a policy that nobody has chosen yet."""
    try:
        from keras.src.backend.common import global_state  # neither can be read or unset in public
    except ImportError:
        return
    names = "object_name_uids"
    given = global_state.get_global_attribute(names)
    before = {
        "dtype_policy": global_state.get_global_attribute("dtype_policy"),
        names: given and given.copy(),
    }
    for attribute, value in before.items():
        undone_at_the_end(lambda a=attribute, v=value: global_state.set_global_attribute(a, v))  # type: ignore[misc]


def import_keras() -> ModuleType:
    """Imports Keras on the backend that ``KERAS_BACKEND`` names (TensorFlow by default).

    Raises:
        RequestError: There is no such backend, it is not installed, or Keras cannot be imported.
    """
    if "keras" not in sys.modules:
        default_variable(BACKEND_VARIABLE, BACKENDS[0])
        default_variable("TF_CPP_MIN_LOG_LEVEL", "3")
        _check_backend(os.environ[BACKEND_VARIABLE])
        try:
            with signals_wait(), quiet_stderr():
                import keras
        except Exception as failure:  # also what keras.json leads to
            reason = " ".join(str(failure).split())[:200]
            raise RequestError(
                f"Keras cannot be imported ({type(failure).__name__}: {reason}). If it names a setting, mend or remove "
                f"keras.json in {os.environ.get('KERAS_HOME', '~/.keras')}."
            ) from None
    import keras

    with _CALLS.lock:
        _settle(keras)
    name = loaded_backend()
    if name is not None and name not in BACKENDS:
        raise RequestError(
            f"Keras already runs on '{name}' in this process; expected tensorflow or jax. Start a new process and set "
            f"{BACKEND_VARIABLE} there before Keras is imported."
        )
    return keras


def _check_backend(name: str) -> None:
    if name not in BACKENDS:
        raise RequestError(
            f"{BACKEND_VARIABLE}={name}: expected tensorflow or jax.{did_you_mean(name, BACKENDS)} Without it the "
            "backend is tensorflow."
        )
    if find_spec(name) is None:
        extra = "conviction[jax]" if name == "jax" else "conviction"
        raise RequestError(
            f"{BACKEND_VARIABLE}={name}: {name} is not installed. Install it with pip install '{extra}', or unset the "
            "variable."
        )


def loaded_backend() -> str | None:
    """The backend on which Keras runs in this process; None if it has not been imported."""
    keras = sys.modules.get("keras")
    return keras.backend.backend() if keras is not None and hasattr(keras, "backend") else None


def has_threads(threads: int) -> bool:
    """Whether this process calculates with so many threads, or may: TensorFlow cannot change their number back.

    Nothing is imported. On JAX the number is that of the process's affinity, whatever is asked for.
    """
    name = loaded_backend() or os.environ.get(BACKEND_VARIABLE) or BACKENDS[0]
    if name != "tensorflow" or _CALLS.is_ours:
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

    try:  # the way back is not public
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
def children_without_ctrl_c() -> Iterator[None]:
    """Processes that are started meanwhile do not hear SIGINT; this one hears at the end what came.

    Ctrl-C reaches every process at a terminal. One that is still importing would print a traceback there before it
    could say that this is its parent's business.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Lifts such a block when it starts a process of its own, so that has to come first.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
