"""Values as documents print them: numbers, units, ranges, ordinals and dates, parsed without guessing.

`type_value` gives the typed form of a printed text beside its raw text; what does not parse stays raw and says why.
`dates`, `numbers`, `units` and `signs` each read one thing, for all who compare what is printed.
Imports are lazy: who reads signs alone, as the process that opens a file does, reads no dates.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extraction.values.typed import Typed, type_range, type_value

__all__ = ["Typed", "type_range", "type_value"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from extraction.values import typed

        return getattr(typed, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
