"""An exported model behind HTTP: reading, decoding, batches, problems, the page, the processes."""

from conviction.server.limits import ServerLimits
from conviction.server.process import serve

__all__ = ["ServerLimits", "serve"]
