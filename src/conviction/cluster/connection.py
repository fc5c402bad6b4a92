"""The connection to a Ray cluster: the one that ``RAY_ADDRESS`` names, or one that starts and ends with the command."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from conviction.audience import on_ray
from conviction.errors import RequestError

# Ray itself tries for two minutes, and then ends the process.
PATIENCE = 5.0


def ray_address() -> str | None:
    """The cluster that ``RAY_ADDRESS`` names; None for one that this process starts."""
    return os.environ.get("RAY_ADDRESS") or None


def import_ray() -> Any:
    """The module ``ray``.

    Raises:
        RequestError: It is not installed.
    """
    try:
        import ray
    except ImportError:
        raise RequestError(f"{on_ray()}: needs Ray: pip install 'conviction[ray]'") from None
    return ray


@contextmanager
def connected() -> Iterator[Any]:
    """The module ``ray``, connected.

    Raises:
        RequestError: Ray is not installed, the cluster cannot be reached, or it has another version.
    """
    ray = import_ray()
    address = ray_address()
    if address is not None:
        _check_reachable(address)
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as failure:
        raise RequestError(_connection_message(address, failure)) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray's own handler would end with another exit code
    try:
        yield ray
    finally:
        ray.shutdown()


def _connection_message(address: str | None, failure: Exception) -> str:
    reason = " ".join(str(failure).split())
    if address is None:
        return f"{on_ray()}: a cluster cannot be started here: {reason}"
    if "Version mismatch" in reason:
        return f"{on_ray()}: the cluster at RAY_ADDRESS={address} has a different version from this machine: {reason}"
    return (
        f"{on_ray()}: no connection to RAY_ADDRESS={address}: {reason} This machine must be a node of the cluster; "
        "from elsewhere, give the address of its dashboard, RAY_ADDRESS=http://HOST:8265."
    )


def _check_reachable(address: str) -> None:
    """Refuses an address at once if no cluster answers there.

    Raises:
        RequestError: None answers, or it is not an address.
    """
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise RequestError(
            "RAY_ADDRESS: expected HOST:PORT or auto, or http://HOST:8265 to run the command there as a Ray job; got "
            f"'{address}'."
        )
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return  # that needs Ray's certificates
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=PATIENCE)
        except grpc.FutureTimeoutError:
            raise RequestError(
                f"{on_ray()}: no Ray cluster answers at RAY_ADDRESS={address}. Start one there with `ray start "
                "--head`, name another one, or unset RAY_ADDRESS to use one on this machine."
            ) from None
