"""Chest X-rays, padded to squares; what is asked of one image are branches of it."""

from recipes.card.base import RowTask, contract

TASK = RowTask("chest_xray", contract(prompt=4096))
