"""Messages in, text and token probabilities out: grammars, drafts, the decode loop, and the backends around it.

`Backend` is the one protocol; `LocalBackend` runs a transformers model in this process.
"""

from extraction.generate.backend import Backend, Generation, Request
from extraction.generate.local import LocalBackend

__all__ = ["Backend", "Generation", "LocalBackend", "Request"]
