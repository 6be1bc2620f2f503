"""Whole slides: the patches of one are a context."""

from recipes.card.base import RowTask, contract

TASK = RowTask("slide", contract(prompt=40960, answer=256))
