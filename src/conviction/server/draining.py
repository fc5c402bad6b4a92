"""The end of a worker: everyone who has reached it gets an answer."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from conviction.server.connection import Connection


class Draining(uvicorn.Server):
    """uvicorn's server, which before it ends also serves the connections that the system has already accepted.

    Args:
        config: uvicorn's.
        listener: The listening socket; ``serve`` gets a duplicate. While this one is open, no connection that waits
            in the system's queue is lost.
    """

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts what waits, closes the port, and then does what uvicorn does."""
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        waiting = []
        while True:
            try:
                waiting.append(self._listener.accept()[0])
            except BlockingIOError:
                break
        self._listener.close()
        for connection in waiting:
            connection.setblocking(False)
            await loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> Connection:
        return Connection(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
