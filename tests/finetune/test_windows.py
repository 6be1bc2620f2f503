"""Windows of long documents in training, held against windows in serving."""

import json

import pytest
from finetune.dataset import Example
from finetune.windows import parts

from extraction.api import Extractor
from extraction.document import open_document
from extraction.generate import Generation
from extraction.reading import Reading
from extraction.schema import validator
from finetune.encode import encode
from recipes.lab_report.synthetic import families, write_reports
from recipes.lab_report.task import CONTRACT


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    paths = write_reports(tmp_path_factory.mktemp("reports") / "all", names=families("train"), count=24, seed=5)
    return [Example(open_document(path), json.loads(path.with_suffix(".json").read_text())) for path in paths]


class Knowing:
    """Answers every window with what a model was trained to answer."""

    def __init__(self, example, contract):
        taught = parts(
            example, contract, lambda texts: self.count_tokens(contract.messages(texts)) <= contract.max_prompt_tokens
        )
        self.answers = {CONTRACT.messages(window.texts)[0]["content"]: record for window, record in taught}

    def count_tokens(self, messages):
        return len(messages[0]["content"])

    def generate(self, requests, on_done):
        for index, request in enumerate(requests):
            record = self.answers[request.messages[0]["content"]]
            on_done(index, Generation(CONTRACT.target.encode(record), "stop"))


@pytest.mark.parametrize("limit", [700, 1500])
def test_windows_answered_as_taught_give_the_record(examples, limit):
    """Training and serving part a document alike, and joining undoes the parting."""
    parted = 0
    for example in examples:
        contract = CONTRACT.model_copy(update={"max_prompt_tokens": limit, "check_rows": False})
        backend = Knowing(example, contract)
        parted += len(backend.answers) > 1
        assert all(validator(CONTRACT.record_schema).is_valid(record) for record in backend.answers.values())
        [record] = Extractor(backend, contract).read([example.document])
        # Tables side by side are read one after the other in the record, line by line in windows.
        assert sorted(map(core, record.data["tests"])) == sorted(map(core, example.record["tests"])), example.name
    assert parted > len(examples) // 2


@pytest.mark.parametrize("limit", [700, 1500])
def test_what_is_taught_is_what_is_shown(examples, limit):
    contract = CONTRACT.model_copy(update={"max_prompt_tokens": limit})
    headed = 0
    for example in examples:

        def fits(texts):
            return len(contract.messages(texts)[0]["content"]) <= limit

        taught = [window for window, _ in parts(example, contract, fits)]
        shown = Reading(example.document, contract, fits).windows
        assert [window.texts for window in taught] == [window.texts for window in shown]
        headed += any(window.head is not None for window in shown)
    assert headed > len(examples) // 4


def core(row):
    return [str(row[key]) for key in ("name", "result", "unit")]


def test_every_window_fits(examples, tokenizer):
    for example in examples[:4]:
        [whole] = encode(example, CONTRACT, tokenizer, 8192)
        pieces = encode(example, CONTRACT, tokenizer, 8192, window_tokens=256)
        assert len(pieces) > 1
        for piece in pieces:
            assert piece["labels"].count(-100) <= 256
        assert whole["labels"].count(-100) > 256
