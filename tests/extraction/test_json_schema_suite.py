"""The JSON-Schema-Test-Suite: no keyword is silently ignored, and valid data can mostly be written."""

import json
from collections import Counter

import pytest

from extraction.errors import AssayError
from extraction.generate.grammar import Grammar, simplify, token_table

# Ratchets: shares of the suite's valid data that the grammar can write. Objects beside known properties, keys in
# another order and white space are not written, by design, so it is not all of them.
WRITTEN = {"draft7": 0.55, "draft2020-12": 0.55}


@pytest.fixture(scope="module")
def table(tokenizer):
    return token_table(tokenizer, len(tokenizer), (1, 106))


def groups(folder):
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            if isinstance(group["schema"], dict):
                yield path.stem, group["schema"], group["tests"]


def accepts(grammar, table, data):
    text = json.dumps({"x": data}, ensure_ascii=False, separators=(",", ":"))
    matcher = grammar.matcher()
    return matcher.try_consume_tokens(tokens := table.tokenize_str(text)) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize("draft", ["draft7", "draft2020-12"])
def test_no_keyword_is_silently_ignored(shared_data, table, draft):
    ignored, rejected, written, valid = Counter(), 0, 0, 0
    folder = shared_data / "json_schema" / "JSON-Schema-Test-Suite" / "tests" / draft
    for keyword, schema, tests in groups(folder):
        definitions = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
        wrapped = {"type": "object", "properties": {"x": schema}, "required": ["x"], **definitions}
        try:
            grammar, notes = Grammar(wrapped, table), simplify(wrapped)[1]
        except AssayError:
            continue  # refused by name, which is not silent
        for test in tests:
            accepted = accepts(grammar, table, test["data"])
            if test["valid"]:
                valid, written = valid + 1, written + accepted
            elif accepted and not notes:
                ignored[keyword] += 1
            else:
                rejected += 1
    assert not ignored
    assert rejected > 250
    assert written >= WRITTEN[draft] * valid, (written, valid)
