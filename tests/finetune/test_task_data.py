"""What a task of somebody else reads: wrong answers, answers too long, pictures in both splits are said at start."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from extraction import Extractor
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Branch, Context, Example, ImagePart
from extraction.families import family_of
from extraction.room import Room
from finetune.data import check_split
from finetune.encode import encode
from finetune.task import DataRequest, Task, evaluate, read_examples
from tests.conftest import Scripted, tiny_gemma

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
CONTRACT = Contract(instruction="Answer.", record_schema=SCHEMA, max_prompt_tokens=200, max_answer_tokens=16)


def example(gold=None, shown="A page.", questions=1):
    branches = tuple(Branch((f"What {n}?",), gold=gold) for n in range(questions))
    return Example(Context("page 1", (shown,)), branches)


class Fixed(Task):
    name = "fixed"
    contract = CONTRACT

    def __init__(self, *examples):
        self.examples = examples

    def read(self, wanted):
        return list(self.examples)

    def right(self, branch, record):
        return branch.gold["answer"].casefold() == record.data["answer"].casefold()


def read(*examples):
    return read_examples(Fixed(*examples), DataRequest(Path("data"), "train", CONTRACT, Room(len, CONTRACT)))


@pytest.mark.parametrize("gold", [{"answer": 3}, {"answer": None}, {}, None])
def test_an_answer_that_its_schema_does_not_allow_is_said_at_start(gold):
    assert read(example({"answer": "red"}))
    with pytest.raises(AssayError, match="page 1 does not fit the schema"):
        read(example({"answer": "red"}), example(gold))


def test_an_answer_that_could_never_be_given_is_not_trained(tokenizer):
    family = family_of(tiny_gemma().config, tokenizer, "tiny")
    assert encode(example({"answer": "red"}), CONTRACT, family, 2048)
    with pytest.raises(AssayError, match="max_answer_tokens=16"):
        encode(example({"answer": "red " * 40}), CONTRACT, family, 2048)


def test_an_error_in_a_grader_names_its_line():
    extractor = Extractor(Scripted('{"answer":"red"}'), CONTRACT)
    with pytest.raises(AssayError, match=r"fixed cannot grade .*test_task_data.py.*AttributeError"):
        evaluate(extractor, Fixed(), [example({"answer": 3})])


def test_a_picture_in_both_splits_is_noticed_wherever_its_file_lies(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    Image.new("RGB", (40, 30), "blue").save(tmp_path / "b.png")
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "a.png", tmp_path / "other" / "c.png")

    def of(path):
        return Example(Context(path.name, (ImagePart.of(path),)))

    check_split([of(tmp_path / "a.png")], [of(tmp_path / "b.png")])
    with pytest.raises(AssayError, match=r"c\.png .* also among the training data"):
        check_split([of(tmp_path / "a.png")], [of(tmp_path / "other" / "c.png")])


def test_a_context_that_is_longer_than_a_prompt_is_refused_and_one_without_questions_is_empty():
    extractor = Extractor(Scripted('{"answer":"red"}'), CONTRACT)
    assert extractor.answer(example())[0].data == {"answer": "red"}
    with pytest.raises(AssayError, match="max_prompt_tokens=200"):
        extractor.answer(example(shown="x" * 400))
    assert extractor.answer(example(questions=0)) == []
