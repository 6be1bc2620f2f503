"""Windows of long documents in training, held against windows in serving."""

import pytest

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.families import family_of
from extraction.generate import Generation
from extraction.reading import DocumentReading, document_example
from extraction.schema import validator
from finetune.config import DataConfig
from finetune.data import divide, read_documents
from finetune.encode import encode_all
from recipes.lab_report.fields import HEAD, ROW
from recipes.lab_report.synthetic import families, write_reports
from recipes.lab_report.task import CONTRACT
from tests.conftest import Reader, document_of, text_of


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports") / "all"
    write_reports(folder, names=families("train"), count=24, seed=5)
    # Of a few the true record is not grounded whole (a value for every date on one line): windows of those could not
    # give it either.
    whole = CONTRACT.model_copy(update={"max_prompt_tokens": 100_000, "checks": None})
    found = []
    for example in read_documents(folder, CONTRACT):
        [record] = Extractor(Knowing(example, whole), whole).answer(example)
        if len(record.data["tests"]) == len(example.branches[0].gold["tests"]):
            found.append(example)
    assert len(found) >= 20
    return found


def fits_in(contract):
    return lambda parts: len(text_of(contract.messages(parts))) <= contract.max_prompt_tokens


class Knowing(Reader):
    """Answers every window with what a model was trained to answer."""

    def __init__(self, example, contract):
        taught = divide(example, contract, fits_in(contract))
        self.answers = {text_of(contract.messages(one.context.parts)): one.branches[0].gold for one in taught}

    def answer(self, text):
        return Generation(CONTRACT.target.encode(self.answers[text]), "stop")


@pytest.mark.parametrize("limit", [700, 1500])
def test_windows_answered_as_taught_give_the_record(examples, limit):
    """Training and serving part a document alike, and joining undoes the parting."""
    parted = 0
    for example in examples:
        # Without the recipe's checks: no second look at lines that were not taught.
        contract = CONTRACT.model_copy(update={"max_prompt_tokens": limit, "checks": None})
        backend = Knowing(example, contract)
        parted += len(backend.answers) > 1
        assert all(validator(CONTRACT.record_schema).is_valid(record) for record in backend.answers.values())
        [record] = Extractor(backend, contract).answer(example)
        # Tables side by side are read one after the other in the record, line by line in windows.
        gold = example.branches[0].gold
        assert sorted(map(core, record.data["tests"])) == sorted(map(core, gold["tests"])), example.context.name
    assert parted > len(examples) // 2


@pytest.mark.parametrize("limit", [700, 1500])
def test_what_is_taught_is_what_is_shown(examples, limit):
    contract = CONTRACT.model_copy(update={"max_prompt_tokens": limit})
    headed = 0
    for example in examples:
        taught = divide(example, contract, fits_in(contract))
        shown = DocumentReading(example, contract, fits_in(contract)).examples
        assert [one.context.parts for one in taught] == [one.context.parts for one in shown]
        headed += any(one.context.index.window.head is not None for one in shown)
    assert headed > len(examples) // 4


def test_each_day_of_a_cumulative_table_is_taught_with_its_own_rows():
    """A row is taught where its day is shown, also where that does not say whether day or month comes first."""
    page = """Patient:      Jan Peeters
Test          Unit      Reference      FIRST        SECOND
Kalium        mmol/L    3.5 - 5.1      5            5
Natrium       mmol/L    136 - 145                   141
  A remark that runs across the columns, also those of the days.
Calcium       mmol/L    2.1 - 2.6      2.2          2.4"""
    told = [("Kalium", "5"), ("Kalium", "5"), ("Natrium", "141"), ("Calcium", "2.2"), ("Calcium", "2.4")]
    for days, times in ((("12-01-2026", "14-02-2026"),) * 2, (("1/2/2026", "3/4/2026"), ("02-01-2026", "04-03-2026"))):
        text = page.replace("FIRST        SECOND", f"{days[0]:13}{days[1]}")
        rows = [{**dict.fromkeys(ROW), "name": name, "result": result} for name, result in told]
        for row, day in zip(rows, [0, 1, 1, 0, 1], strict=True):
            row["sample_collection_time"] = times[day]
        gold = {**dict.fromkeys(HEAD), "patient_name": "Jan Peeters", "tests": rows}
        example = document_example(document_of(text), CONTRACT, gold)
        taught = divide(example, CONTRACT, fits_in(CONTRACT))
        shown = DocumentReading(example, CONTRACT, fits_in(CONTRACT)).examples
        assert [one.context.parts for one in taught] == [one.context.parts for one in shown] and len(taught) == 2
        golds = [one.branches[0].gold for one in taught]
        own = [[(row["name"], row["result"]) for row in gold["tests"]] for gold in golds]
        assert own == [[told[0], told[3]], [told[1], told[2], told[4]]]
        assert not any("patient_name" in CONTRACT.target.encode(gold) for gold in golds)  # read by code, never taught
        assert all("A remark that runs across the columns, also" in "".join(one.context.parts) for one in taught)


def core(row):
    return [str(row[key]) for key in ("name", "result", "unit")]


def test_every_window_fits(examples, tokenizer, tiny_model):
    family = family_of(tiny_model.config, tokenizer)
    whole = DataConfig(train="a", validation="b", max_length=8192)
    windows = whole.model_copy(update={"window_tokens": (256, 256)})
    for example in examples[:4]:
        [row] = encode_all([example], CONTRACT, family, whole, seed=0)
        pieces = list(encode_all([example], CONTRACT, family, windows, seed=0))
        assert len(pieces) > 1
        for piece in pieces:
            assert piece["labels"].count(-100) <= 256
        assert row["labels"].count(-100) > 256


def test_a_window_is_taught_nothing_that_its_schema_forbids():
    rows = "\n".join(f"Item{number:02}   {number}" for number in range(40))
    item = {"type": "object", "properties": {"name": {"type": "string"}, "count": {"type": "string"}}}
    items = {"type": "array", "items": item}

    def parts(seller, **more):
        properties = {"items": items, "seller": seller, **more}
        contract = Contract.for_schema({"type": "object", "properties": properties, "required": ["items", *required]})
        contract = contract.model_copy(update={"instruction": "Read.", "max_prompt_tokens": 400})
        gold = {"items": [{"name": f"Item{n:02}", "count": str(n)} for n in range(40)], "seller": "Ann", **given}
        example = document_example(document_of(f"Seller   Ann\nTax   19.5\n{rows}"), contract, gold)
        return [one.branches[0].gold for one in divide(example, contract, fits_in(contract))]

    required, given = [], {}
    first, *others = parts({"type": "string"})
    assert first["seller"] == "Ann" and others and all("seller" not in one for one in others)
    assert all(one["seller"] is None for one in parts({"type": ["string", "null"]})[1:])
    given = {"fees": {"Tax": 19.5}}
    first, *others = parts({"type": "string"}, fees={"type": "object", "additionalProperties": {"type": "number"}})
    assert first["fees"] == {"Tax": 19.5} and all(one["fees"] == {} for one in others)
    required, given = ["seller"], {}
    with pytest.raises(AssayError, match="let it be null, or raise"):
        parts({"type": "string"})
