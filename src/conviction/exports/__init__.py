"""From a finished run to artefacts that answer as the run does."""

from conviction.exports.commands import Exported, export
from conviction.exports.gate import Parity

__all__ = ["Exported", "Parity", "export"]
