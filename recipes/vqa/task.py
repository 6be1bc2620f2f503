"""Questions on pictures: all questions on one are branches of it."""

from recipes.card.base import RowTask, contract

TASK = RowTask("vqa", contract(answer=512))
