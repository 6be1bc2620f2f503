"""What the command line prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from extraction.api import Extractor

console = Console()


def notes(extractor: Extractor) -> None:
    """Name, once, what the grammar of the schema leaves to the validation afterwards."""
    from extraction.generate.grammar import simplify

    for note in simplify(extractor.contract.record_schema)[1]:
        print(f"Note: the schema's {note}.", file=sys.stderr)
