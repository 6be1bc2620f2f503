"""Drafts follow the page's lines; what they are worth is counted, what they change is tested in test_decode."""

import json

import pytest

from extraction.generate.drafts import Drafter, property_names
from extraction.generate.rows import Part
from extraction.target import Target, dumps

KEYS = ["panel", "specimen", "sample_collection_time"]
PAGE = """
Collected: 08/01/2017 10:15   Ward: 5
Test           Flag  Result    Unit    Range
Chemistry
Glucose              5.0       mmol/L  3.9 - 6.1
Sodium         H     149       mmol/L  136 - 145
  Sample slightly haemolysed, read with care.
Potassium      H     5.9       mmol/L  3.5 - 5.1
Chloride             101       mmol/L  98 - 107
Urine
Ketones              Negative          Negative
Blood                Negative          Negative
"""
ANSWER = {
    "tests": [
        {"panel": "Chemistry", "sample_collection_time": "08-01-2017 10:15:00"},
        ["Glucose", "5.0", "mmol/L", "3.9 - 6.1"],
        ["Sodium", "149", "mmol/L", "136 - 145"],
        ["Potassium", "5.9", "mmol/L", "3.5 - 5.1"],
        ["Chloride", "101", "mmol/L", "98 - 107"],
        {"panel": "Urine"},
        ["Ketones", "Negative", None, "Negative"],
        ["Blood", "Negative", None, "Negative"],
    ]
}


def hint(page):
    schema = {"type": "object", "properties": {"tests": {"type": "array", "items": {"type": "object"}}}}
    return Target(schema).hint(page.splitlines())


def replay(drafter, tokens, limit=64):
    """How many passes a decoder needs that writes `tokens` whatever is drafted."""
    passes = done = 0
    while done < len(tokens):
        draft = drafter.propose(limit)
        assert len(draft) <= limit
        right = next((i for i, t in enumerate(draft) if done + i >= len(tokens) or t != tokens[done + i]), len(draft))
        for token in tokens[done : done + right + 1]:
            drafter.accept(token)
        done += right + 1
        passes += 1
    return passes


def characters(page, keys=KEYS):
    """A drafter over a vocabulary of characters."""
    return Drafter(hint(page), lambda text: [ord(c) for c in text], chr, keys)


def test_most_of_an_answer_is_guessed_from_the_page():
    tokens = [ord(c) for c in dumps(ANSWER)]
    assert replay(characters(PAGE), tokens, 1000) < len(tokens) / 20


def test_the_same_with_real_tokens(tokenizer):
    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False)

    tokens = encode(dumps(ANSWER))
    drafter = Drafter(hint(PAGE), encode, lambda token: tokenizer.decode([token]), KEYS)
    assert replay(drafter, tokens) < len(tokens) / 5


def test_rows_of_objects_are_guessed_too():
    rows = [row for row in ANSWER["tests"] if isinstance(row, list)]
    answer = {"tests": [dict(zip(("name", "result", "unit", "range"), row, strict=True)) for row in rows]}
    tokens = [ord(c) for c in dumps(answer)]
    assert replay(characters(PAGE, ["name", "result", "unit", "range"]), tokens, 1000) < len(tokens) / 10


@pytest.mark.parametrize("page", ["", "one", PAGE, 'a "quoted" \\ cell  1.0  g/L\nb  2  g/L', "x\x07  1\n" * 3])
@pytest.mark.parametrize(
    "text",
    [dumps(ANSWER), '{"a":[1,2,{"b":null}],"c":"]}\\"["}', "[[],[[]],{}]", '"only"', "]]}}", "", '{"a":"' + "\\" * 9],
)
def test_no_answer_and_no_page_stops_a_drafter(page, text):
    passes = replay(characters(page), [ord(c) for c in text])
    assert passes <= len(text)


@pytest.mark.parametrize(
    ("text", "keys", "values", "partial", "expects"),
    [
        ("[", [], [], None, "value"),
        ('["', [], [], "", "value"),
        ('["a","b', [], ['"a"'], "b", "value"),
        ('["a",null', [], ['"a"', "null"], None, "comma"),
        ('["a\\"","b"]', [], ['"a\\""', '"b"'], None, "comma"),
        ('{"k', [], [], "k", "key"),
        ('{"k"', ["k"], [], None, "colon"),
        ('{"k":', ["k"], [], None, "value"),
        ('{"k":"v","l":"', ["k", "l"], ['"v"'], "", "value"),
    ],
)
def test_the_beginning_of_a_row_is_read(text, keys, values, partial, expects):
    part = Part.of(text)
    assert (part.keys, part.values, part.partial, part.expects) == (keys, values, partial, expects)
    assert part.keyed == text.startswith("{")


def test_names_of_scalar_properties():
    schema = json.loads(
        '{"properties":{"tests":{"type":"array","items":{"anyOf":[{"properties":{"a":{},"b":{"type":"string"}}},'
        '{"properties":{"b":{},"c":{"properties":{"d":{}}}}}]}},"e":{}}}'
    )
    assert sorted(property_names(schema)) == ["a", "b", "d", "e"]
    assert property_names({}) == property_names(True) == []
