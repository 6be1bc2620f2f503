"""Messages in, text and token probabilities out: grammars, drafts, the decode loop, and the backends around it.

`Backend` is the one protocol; `LocalBackend` runs a transformers model in this process, `ServerBackend` asks a server
with the OpenAI API.
"""

from extraction.generate.backend import Backend, Generation
from extraction.generate.local import LocalBackend
from extraction.generate.server import ServerBackend

__all__ = ["Backend", "Generation", "LocalBackend", "ServerBackend"]
