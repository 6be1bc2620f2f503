"""A task that is easy to move: every question has the same answer, one of four."""

from extraction.contract import Contract
from extraction.example import Branch, Context, Example
from finetune.task import Task

_SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["low", "normal", "high", "none"]}},
    "required": ["answer"],
}


class Constant(Task):
    name = "constant"
    contract = Contract(instruction="Answer.", record_schema=_SCHEMA, style="objects", max_answer_tokens=16)

    def read(self, wanted):
        names = [f"{wanted.split} {number}" for number in range(8 if wanted.split == "train" else 4)]
        return [Example(Context(name, (name,)), (Branch(("Is it?",), gold={"answer": "none"}),)) for name in names]


TASK = Constant()
