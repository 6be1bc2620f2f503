"""One picture, one of n: the answer is a letter."""

from recipes.card.base import RowTask, contract

TASK = RowTask("image_choice", contract(prompt=2048, answer=256))
