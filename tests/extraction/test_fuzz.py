"""Anything at all, where a model's text, a stranger's schema or a damaged file comes in: an answer or one error."""

import json
import random
import re
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from extraction.contract import Contract
from extraction.document import Limits, layout_lines, open_document, render_page
from extraction.errors import AssayError, DocumentError
from extraction.generate import Generation
from extraction.generate.grammar import Grammar, token_table
from extraction.parse import parse
from extraction.schema import load_schema, validator
from extraction.target import Target
from recipes.lab_report.synthetic import write_reports
from recipes.lab_report.task import CONTRACT, ROW, SCHEMA
from tests.conftest import document_of, record_of

CORPUS = Path(__file__).parents[2].parent / "shared" / "data" / "pdfs"

# What a model may write

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.text("\ud800\udfff\\\"'\x00\x1f\u2028é{}[],:", max_size=4)
    | st.sampled_from([10**4000, -(10**40), 1e308, 5e-324, "<0,01", "null", "1e999"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)
rows = st.lists(st.lists(scalars, max_size=9) | st.dictionaries(st.sampled_from(ROW), scalars, max_size=3))
roots = st.dictionaries(st.text(max_size=4), values, max_size=4) | st.builds(lambda r: {"tests": r}, rows | values)
numbers = st.sampled_from(["1e999", "-1e999", "1" * 5000, "-0", "1E400", "0.1e-999", "00", "1.", "NaN", "Infinity"])
pieces = st.sampled_from(
    [*'[]{}",:\\', '\\ud800"', '"\\u12', "\\udc00", "\x00", "\ufeff", "```", "tru", "null", "[" * 300]
)


def normal(value):
    """As `parse` gives it: no half surrogate pairs."""
    if isinstance(value, dict):
        return {normal(key): normal(child) for key, child in value.items()}
    if isinstance(value, list):
        return [normal(child) for child in value]
    return re.sub("[\ud800-\udfff]", "\ufffd", value) if isinstance(value, str) else value


def standard(text):
    """json's own reading, numbers that Python cannot hold kept as written."""

    def number(kind, text):
        try:
            value = kind(text)
        except ValueError:
            return text
        return text if value in (float("inf"), float("-inf")) else value

    return normal(json.loads(text, parse_int=partial(number, int), parse_float=partial(number, float)))


def nodes(node):
    yield node
    children = node.value.values() if isinstance(node.value, dict) else node.value
    if isinstance(children, list) or isinstance(node.value, dict):
        for child in children:
            yield from nodes(child)


def same(one, two):
    """Equal as JSON: 1 is not true, and -0.0 is 0.0."""
    return json.dumps(one) == json.dumps(two) or (one == two and not isinstance(one, bool | dict | list))


def check_prefix(node, value):
    """What a cut left of `value`: whole children are equal, only the last may be open, nothing is new."""
    if node.complete:
        assert same(node.plain(), value)
        return
    assert isinstance(value, type(node.value))
    pairs = list(node.value.items()) if isinstance(value, dict) else list(enumerate(node.value))
    if isinstance(value, dict):
        assert list(node.value) == list(value)[: len(pairs)]
    assert all(child.complete for _, child in pairs[:-1])
    for key, child in pairs:
        check_prefix(child, value[key])


@settings(max_examples=300, deadline=None)
@given(roots.map(normal), st.booleans(), st.floats(0, 1), st.sampled_from(["", "```json\n", "Here: "]))
def test_a_text_cut_anywhere_gives_what_was_whole_and_nothing_else(value, ascii_only, share, before):
    text = json.dumps(value, ensure_ascii=ascii_only)
    node = parse(before + text[: int(share * len(text))])
    if node is not None:
        check_prefix(node, value)
    whole = parse(before + text)
    assert whole.complete and same(whole.plain(), value)


@st.composite
def damaged(draw):
    """JSON with pieces put in, taken out or written over."""
    text = json.dumps(draw(roots), ensure_ascii=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(pieces | numbers | st.text(max_size=2)) + text[at + draw(st.integers(0, 6)) :]
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


targets = [CONTRACT.target, Target(SCHEMA), Target(SCHEMA, "rows")]


@settings(max_examples=400, deadline=None)
@given(damaged())
@example('{"tests":[["Na",1e999,' + "1" * 5000 + ',"\\ud800"]]}')
@example('{"tests":' + "[" * 100_000)
@example('{"tests":' + '{"a":' * 100_000)
@example('{"tests":' + "[" * 190 + "]" * 190 + "}")
@example('{"tests":[{"\\udfff":1}]}')
def test_any_text_is_read_without_inventing(text):
    node = parse(text)
    if node is None:
        return
    for part in nodes(node):
        if part.complete:
            assert same(part.plain(), standard(text[part.start : part.end]))
    for target in targets:
        data, leaves = target.decode(node)
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
        for leaf in leaves:
            assert same(leaf.value, standard(text[leaf.start : leaf.end]))


PAGE = document_of("Na   140   mmol/L\nK   4,5   mmol/L   < 5", "Glucose  5")
LOOSE = {"type": "object", "properties": {"tests": {}, "a": {"type": ["number", "null"], "multipleOf": 0.1}}}
contracts = [CONTRACT, Contract.for_schema(SCHEMA), Contract.for_schema(LOOSE)]


@settings(max_examples=150, deadline=None)
@given(st.lists(damaged(), min_size=1, max_size=2), st.sampled_from(["stop", "length", "loop"]))
@example(['{"a":' + "1" * 400 + "}"], "stop")
@example(['{"tests": {"": null}}'], "stop")
@example(['{"tests": [[], 1, null, {"name": {}}]}'], "stop")
def test_any_answer_becomes_a_record_that_can_be_saved(texts, finish):
    for contract in contracts:
        answers = [Generation(text, finish) for text in texts]
        record = record_of(PAGE, *answers, contract=contract)
        json.dumps(record.to_dict(), ensure_ascii=False, allow_nan=False).encode()
        assert record.status == "ok" or record.issues
        if record.status == "ok":
            assert validator(contract.record_schema).is_valid(record.data)


# Schemas

KEYWORDS = (
    "type enum const properties required additionalProperties patternProperties items prefixItems minItems maxItems "
    "anyOf oneOf allOf not if then else $ref $defs $id $schema $dynamicRef $anchor minLength maxLength pattern format "
    "minimum maximum multipleOf uniqueItems contains dependentSchemas propertyNames unevaluatedProperties title"
).split()
inside = st.sampled_from(
    [
        "string",
        "object",
        "array",
        "null",
        "integer",
        "#",
        "#/properties/a",
        "#/$defs/a",
        "^(a+)+$",
        "(",
        "date",
        "a",
        "",
    ]
)
parts = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | inside,
    lambda inner: (
        st.dictionaries(st.sampled_from([*KEYWORDS, "a", "b"]), inner, max_size=3)
        | st.lists(inner, max_size=3)
        | inner.map(lambda sub: {"a": sub})
        | inner.map(lambda sub: [sub])
    ),
    max_leaves=12,
)


@st.composite
def schemas(draw):
    """Often nearly right: each keyword's value is of the right kind three times out of four."""

    def sub(depth):
        kinds = {
            "type": st.sampled_from(["string", "object", "array", "null", "integer", ["string", "null"]]),
            "pattern": inside,
            "format": inside,
            "$ref": inside,
            "required": st.just(["a"]),
            "uniqueItems": st.booleans(),
            **dict.fromkeys(
                ("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"), st.integers(0, 3)
            ),
        }
        out = {}
        for key in draw(st.lists(st.sampled_from(KEYWORDS), max_size=3, unique=True)):
            if draw(st.integers(0, 9)) == 0:
                out[key] = draw(parts)
            elif key in kinds:
                out[key] = draw(kinds[key])
            elif depth < 3 and key in ("anyOf", "oneOf", "allOf", "prefixItems"):
                out[key] = [sub(depth + 1), sub(depth + 1)]
            elif depth < 3 and key in ("properties", "patternProperties", "$defs", "dependentSchemas"):
                out[key] = {"a": sub(depth + 1), "b": sub(depth + 1)}
            elif depth < 3 and key in ("items", "not", "if", "then", "else", "contains", "additionalProperties"):
                out[key] = sub(depth + 1)
        return out

    return {"type": "object", "properties": {"a": sub(0), "b": sub(1)}, "$defs": {"a": sub(1)}, **sub(1)}


@pytest.fixture(scope="module")
def table(tokenizer):
    return token_table(tokenizer, len(tokenizer), (1, 106))


@settings(max_examples=250, deadline=None)
@given(schemas() | parts, values)
def test_any_schema_is_followed_or_refused(table, schema, data):
    try:
        target = Contract.for_schema(load_schema(schema)).target
        grammar = Grammar(target.grammar_schema(), table)
    except AssayError as error:
        assert str(error)
        return
    assert grammar.matcher()
    for anything in (data, {"a": data}, {"a": {"a": data}}):
        assert all(error.message for error in validator(schema).iter_errors(anything))


# Files

OBJECT = re.compile(rb"\d+ 0 obj\b.*?endobj", re.DOTALL)


def truncate(data, rng):
    return data[: rng.randrange(len(data))]


def flip(data, rng):
    out = bytearray(data)
    for _ in range(rng.choice([1, 3, 30, 300])):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def swap_objects(data, rng):
    """Two objects change places: a page becomes a font, a stream a page tree."""
    found = [match.span() for match in OBJECT.finditer(data)]
    if len(found) < 2:
        return flip(data, rng)
    (a, b), (c, d) = sorted(rng.sample(found, 2))
    one, two = data[a:b].split(b" ", 1), data[c:d].split(b" ", 1)
    return data[:a] + one[0] + b" " + two[1] + data[b:c] + two[0] + b" " + one[1] + data[d:]


def change_number(data, rng):
    """A length, an offset, a reference or a size becomes something else."""
    found = [match.span() for match in re.finditer(rb"\d+", data)]
    for _ in range(min(len(found), rng.choice([1, 1, 4]))):
        a, b = rng.choice(found)
        new = rng.choice([b"0", b"-1", b"1", b"99999999999", b"4294967295", b"2147483647", b"7", b"1e9"])
        data = data[:a] + new.ljust(b - a) + data[b:]
        found = [span for span in found if span[1] <= a]
        if not found:
            break
    return data


def move(data, rng):
    """A piece is cut out, doubled or overwritten with zeros."""
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice([1, 20, 500, 20_000]))
    return data[:start] + rng.choice([b"", data[start:end] * 2, bytes(end - start)]) + data[end:]


MUTATIONS = (truncate, flip, swap_objects, change_number, move)


def mutated(data, seed):
    """`data` with a few kinds of damage; its header stays, without which nothing is even tried."""
    rng = random.Random(seed)
    for mutate in rng.sample(MUTATIONS, rng.choice([1, 1, 2])):
        data = mutate(data, rng) or data
    return b"%PDF-1.4\n" + data[9:]


def open_and_draw(path, limits):
    """What opening gives: "document", or the error's sentence; anything else is raised."""
    try:
        document = open_document(path, limits)
        for page in document.pages:
            layout_lines(page)
        render_page(path, 1, dpi=40, limits=limits)
        return "document"
    except DocumentError as error:
        message = str(error)
        assert message.endswith(".") and "\n" not in message and "Traceback" not in message
        return message


LIMITS = Limits(seconds=10, pixels=4_000_000, memory_mb=1024)


def test_damaged_reports_are_documents_or_one_error(tmp_path):
    sources = write_reports(tmp_path / "reports", names=["us_ruled", "dutch_zebra"], count=2, seed=5, max_rows=8)
    path, seen = tmp_path / "x.pdf", set()
    for seed in range(40):
        path.write_bytes(mutated(sources[seed % len(sources)].read_bytes(), seed))
        seen.add(open_and_draw(path, LIMITS).replace(str(path), "X"))
    assert "document" in seen and len(seen) > 1


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no files to try")
def test_damaged_odd_files_are_documents_or_one_error(tmp_path):
    sources = [path for path in sorted(CORPUS.rglob("*.pdf")) if 0 < path.stat().st_size < 500_000]
    path = tmp_path / "x.pdf"
    for seed, source in enumerate(random.Random(7).sample(sources, 25)):
        path.write_bytes(mutated(source.read_bytes(), seed))
        assert open_and_draw(path, Limits(seconds=3, pixels=4_000_000, memory_mb=1024))
