"""The process in which users call us: set as a run needs it while a call runs, and restored afterwards."""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeVar, cast

from conviction.extras import missing_package

F = TypeVar("F", bound=Callable[..., Any])
# scikit-learn sets these for the OpenMP that it has loaded and that stays loaded; without them macOS ends a process
# that loads another one.
KEPT = "KMP_"
# What a run needs of Keras, whatever keras.json, the environment or the program around it have set. The epsilon is
# that of losses; the limits are KERAS_MAX_EPOCHS and KERAS_MAX_STEPS_PER_EPOCH.
SETTINGS: dict[str, Any] = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "max_epochs": None,
    "max_steps_per_epoch": None,
}
POLICY = "float32"


class _Calls:
    """Calls of public functions that run in this process at the moment, and how to undo what they have changed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.running = 0
        self.is_ours = False
        self.has_settings = False
        self.undo = contextlib.ExitStack()


class _ThreadCalls(threading.local):
    """The same for one thread."""

    def __init__(self) -> None:
        self.running = 0
        self.has_policy = False
        self.undo = contextlib.ExitStack()


_CALLS, _THREAD = _Calls(), _ThreadCalls()


def own_process() -> None:
    """Marks this process as one that does only our work, such as a command, so nothing in it needs restoring."""
    _CALLS.is_ours = True
    with _CALLS.lock:
        _CALLS.running += 1


def is_own_process() -> bool:
    """Whether ``own_process`` was called."""
    return _CALLS.is_ours


@contextlib.contextmanager
def process_restored() -> Iterator[None]:
    """Inside it, Keras is set as a run needs it; at the end the process is as it was before.

    For functions that users call: see ``restores_process``. Calls may be nested, and may run at the same time in
    threads; the last one restores.
    """
    with _CALLS.lock:
        if not _CALLS.running:
            _remember()
        _CALLS.running += 1
    _THREAD.running += 1
    if "keras" in sys.modules:
        settle(sys.modules["keras"])
    try:
        yield
    finally:
        _THREAD.running -= 1
        if not _THREAD.running:
            _THREAD.has_policy = False
            _THREAD.undo.close()
        with _CALLS.lock:
            _CALLS.running -= 1
            if not _CALLS.running:
                _CALLS.has_settings = False
                _CALLS.undo.close()


def restores_process(function: F) -> F:
    """``process_restored`` around each call of a function, which then says what installs a package that is missing."""
    restored = process_restored()(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return restored(*args, **kwargs)
        except ModuleNotFoundError as failure:
            missing = missing_package(failure, function.__name__)
            if missing is None:
                raise
            raise missing from None

    return cast(F, call)


def _remember() -> None:
    """Remembers the state of the interpreter: libraries that are imported meanwhile change all of it."""
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
        # The first process that is spawned fixes the start method, and users could no longer set theirs.
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


def settle(keras: ModuleType) -> None:
    """Sets Keras as a run needs it, if a function runs that a user has called."""
    if not hasattr(keras, "config"):  # in the middle of its import, by another thread
        return
    with _CALLS.lock:
        if _CALLS.running and not _CALLS.has_settings:
            _CALLS.has_settings = True
            _expect_many_networks()
            for name, needed in SETTINGS.items():
                put: Callable[[Any], object] = getattr(keras.config, f"set_{name}")
                before = getattr(keras.config, name)()
                if before != needed:
                    put(needed)
                    undone_at_the_end(lambda put=put, before=before: put(before))  # type: ignore[misc]
    if _THREAD.running and not _THREAD.has_policy:
        _THREAD.has_policy = True
        _remember_thread()
        if keras.config.dtype_policy().name != POLICY:
            keras.config.set_dtype_policy(POLICY)


def _expect_many_networks() -> None:
    """Networks that are trained one after the other are traced one after the other; TensorFlow warns of that."""
    logger = logging.getLogger("tensorflow")

    def is_of_interest(record: logging.LogRecord) -> bool:
        return "tf.function retracing" not in record.getMessage()

    logger.addFilter(is_of_interest)
    undone_at_the_end(lambda: logger.removeFilter(is_of_interest))


def _remember_thread() -> None:
    """Remembers the policy, if one was chosen, and the counters that name layers: Keras keeps them per thread."""
    try:
        from keras.src.backend.common import global_state  # neither can be read or unset in public
    except ImportError:
        return
    for attribute in ("dtype_policy", "object_name_uids"):
        value = global_state.get_global_attribute(attribute)
        value = value.copy() if isinstance(value, dict) else value
        _THREAD.undo.callback(global_state.set_global_attribute, attribute, value)
