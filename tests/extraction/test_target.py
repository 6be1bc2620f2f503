"""A record survives the way through the model's text, in both styles, and says where its values stand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.errors import AssayError
from extraction.parse import parse
from extraction.schema import pointer, validator
from extraction.target import Target
from recipes.lab_report.task import CONTRACT, HEAD, ROW, SCHEMA

value = st.none() | st.text(max_size=12) | st.sampled_from(["<0,01", "Negative", '6" x', "a\nb", "\\", "µmol/L"])
panel = st.sampled_from([None, "Lipids", "Urine > Stick"])
row = st.fixed_dictionaries(
    {**dict.fromkeys(ROW, value), "panel": panel, "specimen": panel, "sample_collection_time": panel}
)
records = st.fixed_dictionaries({**dict.fromkeys(HEAD, value), "tests": st.lists(row, max_size=6)})


@pytest.mark.parametrize("style", ["rows", "objects"])
@given(record=records)
def test_round_trip(style, record):
    target = Target(SCHEMA, style, CONTRACT.carry if style == "rows" else ())
    text = target.encode(record)
    node = parse(text)
    data, leaves = target.decode(node)
    assert node.complete and data == record
    assert validator(target.grammar_schema()).is_valid(json.loads(text))
    for leaf in leaves:
        assert json.loads(text[leaf.start : leaf.end]) == leaf.value
    found = {pointer(leaf.path) for leaf in leaves}
    filled = {f"/tests/{i}/{k}" for i, r in enumerate(record["tests"]) for k, v in r.items() if v is not None}
    assert found == filled | {f"/{key}" for key in HEAD if record[key] is not None}


@given(record=records, cut=st.floats(0, 1))
def test_a_cut_text_gives_whole_rows_only(record, cut):
    target = Target(SCHEMA, "rows", CONTRACT.carry)
    text = target.encode(record)
    node = parse(text[: int(cut * len(text))])
    if node is None or "tests" not in node.value:
        return
    data, _ = target.decode(node)
    assert data["tests"] == record["tests"][: len(data["tests"])]
    assert not node.complete or data == record


@given(st.text(max_size=60) | st.text(alphabet='[]{}",:1ea\\ntrul ', max_size=60))
def test_parse_never_fails_and_agrees_with_json(text):
    node = parse(text)
    if node is not None and node.complete:
        try:
            expected = json.loads(text[node.start : node.end])
        except ValueError:
            pytest.fail("parsed what is not JSON")
        assert node.plain() == expected


def test_rows_cost_less_than_half_of_the_objects():
    record = {"tests": [dict.fromkeys(ROW, None) | {"name": f"T{i}", "result": "1", "panel": "P"} for i in range(9)]}
    assert len(CONTRACT.target.encode(record)) < 0.3 * len(Target(SCHEMA).encode(record))


def test_a_key_that_may_be_left_out_but_not_null_is_left_out():
    schema = {"type": "object", "properties": {"rows": {"type": "array", "items": {"type": "object", "properties": {
        "a": {"type": "string"}, "n": {"type": "integer"}}, "required": ["a"]}}}}  # fmt: skip
    target = Target(schema, "rows")
    record = {"rows": [{"a": "x"}, {"a": "y", "n": 3}]}
    assert target.decode(parse(target.encode(record)))[0] == record


def test_rows_need_a_table():
    with pytest.raises(AssayError, match="objects"):
        Target({"type": "object", "properties": {"a": {"type": "string"}}}, "rows")
    with pytest.raises(AssayError, match="colour"):
        Target(SCHEMA, "rows", ["colour"])


def test_what_a_page_does_not_say_beside_its_rows_costs_no_token():
    rows = Target(SCHEMA, "rows", CONTRACT.carry)
    assert rows.encode({"sex": None, "tests": []}) == '{"tests":[]}'
    assert rows.encode({"sex": "F", "tests": []}) == '{"sex":"F","tests":[]}'
    # As a model that was taught otherwise writes it.
    assert rows.decode(parse('{"sex":null,"tests":[]}'))[0] == rows.decode(parse('{"tests":[]}'))[0]
