"""Drafts follow the page's lines; what they are worth is counted, what they change is tested in test_decode."""

import pytest

from extraction.generate.drafts import Drafter, hint_text
from extraction.target import Target, dumps

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


def characters(page):
    """A drafter over a vocabulary of characters."""
    return Drafter([ord(c) for c in hint_text(hint(page))])


def test_most_of_an_answer_is_guessed_from_the_page(whole_tokenizer):
    def encode(text):
        return whole_tokenizer.encode(text, add_special_tokens=False)

    tokens = encode(dumps(ANSWER))
    passes = replay(Drafter(encode(hint_text(hint(PAGE)))), tokens)
    assert passes < len(tokens) / 3
    assert passes < 0.8 * replay(Drafter(encode(PAGE)), tokens)  # the shape of an answer earns its keep


@pytest.mark.parametrize("page", ["", "one", PAGE, 'a "quoted" \\ cell  1.0  g/L\nb  2  g/L', "x\x07  1\n" * 3])
@pytest.mark.parametrize("text", [dumps(ANSWER), '{"a":[1,2,{"b":null}],"c":"]}\\"["}', '"only"', "]]}}", ""])
def test_no_answer_and_no_page_stops_a_drafter(page, text):
    assert replay(characters(page), [ord(c) for c in text]) <= len(text)


def guessed(page, written, limit=200):
    drafter = characters(page)
    for char in written:
        drafter.accept(ord(char))
    return "".join(map(chr, drafter.propose(limit)))


def test_dates_of_the_page_are_looked_up_as_they_are_asked_for():
    assert guessed("Taken on 8 January 2017 10:15", '{"time":"20').startswith("17-01-08T10:15:00")
    assert guessed("Taken on 8 January 2017 10:15", '{"time":"08').startswith("-01-2017 10:15:00")


def test_lookup_goes_on_from_the_place_it_was_at_and_then_to_the_answer():
    drafter = Drafter([1, 2, 3, 1, 2, 4])
    assert drafter.propose(8) == []
    for token in (1, 2):
        drafter.accept(token)
    assert drafter.propose(2) == [3, 1]
    for token in (3, 1, 2):
        drafter.accept(token)
    assert drafter.propose(8) == [4]
    for token in (9, 8, 9):
        drafter.accept(token)
    assert drafter.propose(8) == [8, 9]
