"""Examination questions: by generation, or by the likelihood of the options' letters."""

from recipes.card.base import RowTask, contract

# MedGemma 1.5's report (arXiv 2604.05081) puts this line before the questions of exams; contract.instruction="" leaves
# it out.
TASK = RowTask("exams", contract("SYSTEM INSTRUCTION: think silently if needed.", answer=2048))
