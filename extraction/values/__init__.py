"""Values as documents print them: numbers, units, ranges, ordinals and dates, parsed without guessing.

`type_value` gives the typed form of a printed text beside its raw text; what does not parse stays raw and says why.
`dates`, `numbers`, `units` and `signs` each read one thing, for all who compare what is printed.
"""

from extraction.values.typed import Typed, type_range, type_value

__all__ = ["Typed", "type_range", "type_value"]
