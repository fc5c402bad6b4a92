"""Sends a command to the cluster, where it runs as a Ray job, from a machine that is not a node of it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conviction.audience import on_ray, option
from conviction.cluster.connection import PATIENCE, import_ray, ray_address
from conviction.cluster.nodes import PASSED_ON
from conviction.errors import ClusterError, Interrupted, RequestError
from conviction.training import stop_on_signals

# Where a job server, or Ray's client server, listens unless an address says otherwise.
PORTS = {"http": 80, "https": 443, "ray": 10001}
LOOK = 0.5
# Seconds without an answer before the job server counts as gone, or its cluster as one that takes no jobs; a head node
# restarts in less.
LOST = 60.0


def is_elsewhere() -> bool:
    """Whether ``RAY_ADDRESS`` is an address to send commands to, not a cluster that this machine is a node of."""
    return urlsplit(ray_address() or "").scheme in PORTS


def send(arguments: Sequence[str], out: str | None, *, as_json: bool) -> int:
    """Runs ``conviction`` with these arguments on the cluster and shows its output.

    Args:
        arguments: The arguments of the command; files that they name are files of the cluster.
        out: The folder of the command; a job's own folder does not last, so it has to be absolute or an address.
        as_json: The object goes to stdout, everything else to stderr.

    Returns:
        The exit code of the command there; 1 if the job could not be run.

    Raises:
        RequestError: There is no job server, or ``out`` is not a folder that lasts.
        ClusterError: The job server is gone.
        Interrupted: SIGINT or SIGTERM; the job has been stopped.
    """
    address = ray_address() or ""
    if out is None or not (Path(out).is_absolute() or "://" in out):
        raise RequestError(
            f"{on_ray()}: RAY_ADDRESS={address} runs the command on the cluster, in a folder that does not last. "
            f"Give {option('out')} a folder there that does, such as /shared/study, or s3://bucket/study; got "
            f"{out or 'none'}."
        )
    client = _client(address)
    environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    job = ""
    with stop_on_signals() as stop:
        stop.patient = False
        try:
            job = _submitted(
                client,
                entrypoint=shlex.join(["python", "-m", "conviction", *arguments]),
                runtime_env={"env_vars": environment} if environment else {},
            )
            print(f"On Ray: job {job} at {address}.", file=sys.stderr, flush=True)
            return _exit_code(job, _followed(client, job, _Output(as_json)))
        except KeyboardInterrupt:
            if job:
                client.stop_job(job)
                while not client.get_job_info(job).status.is_terminal():
                    time.sleep(LOOK)
            raise Interrupted(
                f"Stopped. What is finished is kept in {out}; the same command continues from there.",
                stop.signal_number or signal.SIGINT,
            ) from None


def _client(address: str) -> Any:
    ray = import_ray()
    from ray.job_submission import JobSubmissionClient

    parts = urlsplit(address)
    try:
        port = parts.port or PORTS[parts.scheme]
        # Ray itself waits for as long as the network does.
        socket.create_connection((parts.hostname or "", port), timeout=PATIENCE).close()
        return JobSubmissionClient(address)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as failure:
        reason = " ".join(str(failure).split())
        raise RequestError(
            f"{on_ray()}: RAY_ADDRESS={address} does not take Ray jobs: {reason}. Give the address of the cluster's "
            "dashboard, RAY_ADDRESS=http://HOST:8265."
        ) from None


def _submitted(client: Any, **how: Any) -> str:
    """Submits the job and returns its name. A cluster that has just started refuses until one of its nodes takes jobs.

    Raises:
        ClusterError: No node has taken any for ``LOST`` seconds, or the job server fails.
    """
    began = time.monotonic()
    while True:
        try:
            return str(client.submit_job(**how))
        except (OSError, RuntimeError) as failure:
            if "try again" not in str(failure) or time.monotonic() - began > LOST:
                reason = " ".join(str(failure).split())
                raise ClusterError(f"{on_ray()}: the cluster does not take the job: {reason}") from None
        time.sleep(LOOK)


class _Output:
    """Shows a job's output line by line; Ray mixes its stdout and stderr."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._seen = 0
        self._rest = ""

    async def follow(self, client: Any, job: str) -> None:
        """Follows until the job or the connection ends; when called again, continues after what was shown."""
        again = self._seen
        async for text in client.tail_job_logs(job):
            new = text[again:]
            again = max(0, again - len(text))
            self._seen += len(new)
            *lines, self._rest = (self._rest + new).split("\n")
            for line in lines:
                self._say(line)

    def close(self) -> None:
        """Shows a last line without a line break."""
        if self._rest:
            self._say(self._rest)

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr if self._as_json and not _is_object(line) else sys.stdout, flush=True)


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _followed(client: Any, job: str, output: _Output) -> Any:
    """Follows the job, and returns Ray's information about its end, which comes a moment after the last line.

    Raises:
        ClusterError: The job server has been gone for ``LOST`` seconds.
    """
    from aiohttp import ClientError

    heard = time.monotonic()
    while True:
        try:
            # A busy job server drops the connection while the job continues.
            with suppress(RuntimeError, ClientError):
                asyncio.run(output.follow(client, job))
            info = client.get_job_info(job)
        except (OSError, RuntimeError) as failure:
            if time.monotonic() - heard > LOST:
                reason = " ".join(str(failure).split())
                raise ClusterError(
                    f"{on_ray()}: the job server no longer answers: {reason}. Job {job} may still be running; check "
                    "with `ray job status`. The same command continues from what is finished."
                ) from None
        else:
            heard = time.monotonic()
            if info.status.is_terminal():
                output.close()
                return info
        time.sleep(LOOK)


def _exit_code(job: str, info: Any) -> int:
    if info.driver_exit_code is not None:
        return int(info.driver_exit_code)
    if info.status == "SUCCEEDED":
        return 0
    print(f"conviction: job {job} {info.status.lower()}: {info.message}", file=sys.stderr)
    return 1
