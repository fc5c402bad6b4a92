"""An exported model behind HTTP: reading, decoding, batches, problems, the page, the processes."""

from conviction.server.limits import Limits
from conviction.server.process import serve

__all__ = ["Limits", "serve"]
