"""CT and MRI: the slices of a study are one context, read and encoded once; what is asked of it are its branches."""

from recipes.card.base import RowTask, contract

TASK = RowTask("volume", contract(prompt=32768, answer=256))
