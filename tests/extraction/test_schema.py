"""Schemas: what is not one is refused, what the grammar cannot enforce is named and still validated."""

import pytest
from pydantic import BaseModel

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.generate.backend import Generation
from extraction.generate.grammar import simplify
from extraction.schema import load_schema
from extraction.target import Target
from tests.conftest import document_of, record_of, text_of


def obj(**properties):
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt", "properties": {}}, "not a valid JSON Schema"),
        (obj(a={"type": "string", "minLength": -1}), "/properties/a/minLength"),
        ({"type": "array"}, "wrap a list"),
        (obj(a={"$ref": "https://example.com/x"}), "not followed"),
        (obj(a={"$ref": "#/$defs/none"}), "leads nowhere"),
    ],
)
def test_bad_schemas_are_one_sentence(schema, words):
    with pytest.raises(AssayError, match=words):
        simplify(load_schema(schema))


def test_files_that_are_no_schema(tmp_path):
    with pytest.raises(AssayError, match="cannot be read"):
        load_schema(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(AssayError, match="not valid JSON"):
        load_schema(tmp_path / "bad.json")


def test_what_the_grammar_cannot_enforce_is_named_and_validated_afterwards():
    schema = obj(
        names={"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        code={"type": "string", "pattern": "^(?=A)A1$"},
        kind={"oneOf": [{"type": "string"}, {"type": "null"}]},
    )
    simplified, notes = simplify(schema)
    assert [(n.at, n.keyword) for n in notes] == [
        ("/properties/names/uniqueItems", "uniqueItems"),
        ("/properties/code/pattern", "pattern"),
        ("/properties/kind/oneOf", "oneOf"),
    ]
    assert "uniqueItems" not in str(simplified)
    contract = Contract(instruction="", record_schema=schema)
    answer = Generation('{"names":["a","a"],"code":"A1","kind":null}', "stop")
    record = record_of(document_of("a a A1"), answer, contract=contract)
    assert record.status == "partial"
    assert [issue.path for issue in record.issues] == ["/names"]


def test_a_field_may_be_called_like_a_keyword():
    schema = obj(properties=obj(type={"type": ["string", "null"]}, items={"type": "string"}))
    assert simplify(schema)[1] == []
    assert Target(schema).grammar_schema()["properties"]["properties"]["required"] == ["type"]


def test_pydantic_models_are_schemas():
    class Result(BaseModel):
        name: str
        value: float | None = None

    class Report(BaseModel):
        patient: str | None = None
        results: list[Result] = []

    contract = Contract.for_schema(load_schema(Report))
    target = Target(contract.record_schema, "rows")
    record = {"results": [{"name": "Na", "value": 140}], "patient": None}
    assert target.encode(record) == '{"results":[["Na",140]]}'
    assert target.encode({**record, "patient": "P"}) == '{"patient":"P","results":[["Na",140]]}'
    assert "Report" in text_of(contract.messages(["page"]))
