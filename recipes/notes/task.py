"""Questions on one to three discharge notes: the notes are read once for all questions on them."""

from recipes.card.base import RowTask, contract

# As for exams: MedGemma 1.5's report puts this line first; contract.instruction="" leaves it out.
TASK = RowTask("notes", contract("SYSTEM INSTRUCTION: think silently if needed.", prompt=32768, answer=2048))
