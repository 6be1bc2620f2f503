import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.score import Counts, Pair, Score, read_pairs, score, score_files
from extraction.score.normal import normal
from recipes.lab_report.checks import CHECKS

CORE = ("name", "result", "unit")
REPORTS = Path(__file__).parents[2].parent / "shared" / "data" / "lab_reports"
needs_reports = pytest.mark.skipif(not REPORTS.is_dir(), reason="the real lab reports are not here")


def lab(name: str | None, result: Any = "5", unit: str | None = "mg/dL", **more: Any) -> dict[str, Any]:
    return {"name": name, "result": result, "unit": unit, **more}


def lab_score(predicted: list[Any] | None, gold: list[Any], **options: Any) -> Score:
    prediction = None if predicted is None else {"tests": predicted}
    return score([Pair(prediction, {"tests": gold}, **options)], CHECKS)


def summary(outcome: Score) -> tuple[Any, ...]:
    return (
        outcome.counts,
        outcome.fields,
        outcome.omissions,
        outcome.inventions,
        sorted(map(sorted, outcome.documents[0].wrong)),
    )


names = st.sampled_from(
    ["Glucose", "glucose", "Glucose (urine)", "Glukose", "Hemoglobine", "Hemoglobin", "HDL", "LDL", None]
)
tests = st.lists(
    st.fixed_dictionaries(
        {
            "name": names,
            "result": st.sampled_from(["1", "2", "3,0", None]),
            "unit": st.sampled_from(["mg/dL", "g/L", None]),
            "specimen": st.sampled_from(["serum", "urine", "urine 24 h", None]),
            "panel": st.sampled_from(["Urine", "Blood > Serum", None]),
        }
    ),
    max_size=7,
)
some = tests.filter(lambda rows: any(row[key] for row in rows for key in ("name", "result", "unit", "specimen")))


@given(tests, some, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_order_of_rows_changes_nothing(predicted, gold, chance):
    before = summary(lab_score(predicted, gold))
    chance.shuffle(predicted)
    chance.shuffle(gold)
    assert summary(lab_score(predicted, gold)) == before


@given(tests, some)
@settings(max_examples=150, deadline=None)
def test_prediction_and_gold_are_symmetric(one, two):
    there, back = lab_score(one, two), lab_score(two, one)
    assert (there.omissions, there.rows_gold) == (back.inventions, back.rows_predicted)
    for name, counts in there.fields.items():
        assert back.fields[name] == Counts(counts.tp, counts.fn, counts.fp)


@given(some)
@settings(max_examples=60, deadline=None)
def test_a_copy_is_perfect_and_nothing_is_zero(rows):
    copy = lab_score(rows, rows)
    assert copy.micro_f1 == copy.macro_f1 == copy.precision == copy.recall == 1
    assert copy.omissions == copy.inventions == copy.wrong_values == 0
    cells = lab_score(rows, []).counts.fp
    for empty in (None, []):
        outcome = lab_score(empty, rows)
        assert outcome.micro_f1 == 0
        assert outcome.counts == Counts(0, 0, cells)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["a", "b", "4,2"]) | st.just(4.2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("wxyz"), inner, max_size=3),
    max_leaves=12,
)


def has_value(data):
    return bool(re.search(r'true|false|\d|"[ab]"', json.dumps(data)))


@given(json_values.filter(has_value), json_values)
@settings(max_examples=200, deadline=None)
def test_any_json_can_be_scored(one, two):
    assert score([(one, one)]).micro_f1 == 1
    there, back = score([(one, two)]), score([(two, one)])
    assert there.counts == Counts(back.counts.tp, back.counts.fn, back.counts.fp)
    json.dumps(there.to_dict(), allow_nan=False)


def test_counts_follow_the_formulas():
    gold = [lab("Sodium", "140", "mmol/L"), lab("Urea", "31", None), lab("CRP", "2", "mg/L")]
    predicted = [lab("Sodium", "149", "mmol/L"), lab("Urea", "31", "mg/dL"), lab("Page 1", "2", None)]
    outcome = score([({"tests": predicted}, {"tests": gold}), ({"tests": []}, {"tests": []})], CHECKS, fields=CORE)
    # Agreed: Sodium, mmol/L, Urea, 31. Only predicted: 149, mg/dL, Page 1, 2. Only gold: 140, CRP's three.
    assert outcome.counts == Counts(4, 4, 4)
    assert outcome.micro_f1 == 0.5
    assert outcome.macro_f1 == 0.75
    assert outcome.fields["result"] == Counts(1, 2, 2)
    assert (outcome.omissions, outcome.inventions, outcome.wrong_values) == (1, 1, 2)
    assert outcome.on(["name", "result"]).wrong_values == 1


def test_a_value_left_out_is_no_false_value():
    outcome = lab_score([lab("CRP", None)], [lab("CRP", "12")])
    assert outcome.wrong_values == 0
    assert outcome.fields["result"] == Counts(0, 0, 1)


def test_swapped_results_lose_points():
    gold = [lab("Sodium", "140"), lab("Potassium", "4.1")]
    outcome = lab_score([lab("Sodium", "4.1"), lab("Potassium", "140")], gold)
    assert outcome.fields["result"] == Counts(0, 2, 2)
    assert outcome.wrong_values == 2


@pytest.mark.parametrize("told_by", ["specimen", "panel", "sample_collection_time"])
def test_swapped_results_lose_points_among_tests_of_one_name(told_by):
    contexts = ["Serum", "Urine", "CSF", "Ascites", "Pleural fluid"]
    gold = [lab("Glucose", str(i), **{told_by: context}) for i, context in enumerate(contexts)]
    predicted = [lab("Glucose", str((i + 1) % 5), **{told_by: context}) for i, context in enumerate(contexts)]
    assert lab_score(predicted, gold).fields["result"].tp == 0
    # One specimen missing: the other four leave it only one place.
    del predicted[2][told_by]
    assert lab_score(predicted, gold).fields["result"].tp == 0
    # Nothing tells the rows apart any more: they are indistinguishable, and agreement decides.
    assert lab_score([lab("Glucose", row["result"]) for row in predicted], gold).fields["result"].tp == 5


def test_a_specimen_is_recognised_in_a_panel():
    gold = [lab("Glucose", "1", panel="FLUIDS > Ascites"), lab("Glucose", "2", panel="FLUIDS > Pleura")]
    predicted = [lab("Glucose", "2", specimen="Ascites"), lab("Glucose", "1", specimen="Pleura")]
    assert lab_score(predicted, gold).fields["result"].tp == 0


@pytest.mark.parametrize(
    ("one", "two", "pair"),
    [
        ("Hemoglobine", "Hemoglobin", True),
        ("Leukocyten", "Leukocytes", True),
        ("Bilirubin, total", "Total bilirubin", True),
        ("Sodium (Na⁺)", "Sodium", True),
        ("Glucose (serum)", "Glucose (urine)", False),
        ("HDL cholesterol", "LDL cholesterol", False),
        ("Borrelia burg. IgG", "Borrelia burg. IgM", False),
        ("Free T3", "Free T4", False),
        ("Vitamin B6", "Vitamin B12", False),
        ("Bilirubin direct", "Bilirubin indirect", False),
        ("Neutrophils %", "Neutrophils #", False),
        ("Creatine", "Creatinine", False),
        ("Hemoglobin", "Hemoglobin A1c", False),
        ("Sodium", None, False),
    ],
)
def test_similar_names(one, two, pair):
    outcome = lab_score([lab(one)], [lab(two)])
    assert outcome.omissions == outcome.inventions == (0 if pair else 1)
    assert outcome.fields["name"].tp == 0 and outcome.fields["result"].tp == int(pair)


def test_an_exact_name_is_never_given_away_to_a_similar_one():
    gold = [lab("Leukocytes", "1"), lab("Leukocyten", "2")]
    assert lab_score([lab("Leukocyten", "1"), lab("Leukocytes", "2")], gold).fields["result"].tp == 0


@pytest.mark.parametrize(
    ("role", "same"),
    [
        ("unit", ["x10⁹/L", "×10^9/l", "10*9/L", "10**9/L", "x10E9/L", "10~9/L", "X 10⁹ / L"]),
        ("unit", ["/uL", "/µL", "/μL", "/ UL", "per µL", "/mcL"]),
        ("unit", ["/HPF", "/hpf", "per HPF"]),
        ("unit", ["mL/min/1.73 m²", "ml/min/1,73m2"]),
        ("value", ["4,2", "4.2", "4.20", 4.2, " 4,2 "]),
        ("value", ["5", "5.0", 5, 5.0]),
        ("value", ["<5", "< 5", "< 5,0"]),
        ("value", ["≤5", "<= 5"]),
        ("value", ["1,234.5", "1.234,5", "1234.5", "1234,5"]),
        ("value", ["0,125", "0.125", 0.125]),
        ("range", ["136 - 145", "136-145", "136 – 145", "136,0−145.0"]),
        ("name", ["Vrij  T4", "VRIJ T4", "vrij T₄", "Vrij\u00a0T4"]),
        ("time", ["05-03-2024 14:30:00", "5/3/2024 14:30", "2024-03-05T14:30:00", "5 Mar 2024 02:30 PM"]),
        (None, ["", "  ", None]),
    ],
)
def test_normalised(role, same):
    assert len({normal(value, role) for value in same}) == 1


@pytest.mark.parametrize(
    ("role", "different"),
    [
        ("unit", ["10⁹/L", "10^6/L", "109/L", "G/L", "g/L", "K/µL"]),
        ("unit", ["mg/dL", "g/dL", "µg/dL", "mg/L", "U/L", "IU/L", "%", None]),
        ("value", ["<5", "≤5", ">5", "5", "-5", "+5"]),
        ("value", ["1,000", "1.000", "1000", "1"]),
        ("value", ["007", "7", "0,7", "70"]),
        ("value", ["CcDee", "ccDEe"]),
        ("value", ["10⁹", "109"]),
        ("value", ["1,2,3", "1.2.3", "1.2"]),
        ("time", ["05-03-2024", "05-03-2024 00:00:00", "03-05-2024", "31-02-2024", "14:30"]),
        (None, ["null", None, True, 1]),
    ],
)
def test_not_normalised(role, different):
    assert len({normal(value, role) for value in different}) == len(different)


@given(st.text(max_size=12), st.sampled_from(["name", "unit", "value", "range", "time", None]))
@settings(max_examples=200, deadline=None)
def test_white_space_around_is_never_part_of_a_value(text, role):
    assert normal(f"  {text}\n", role) == normal(text, role)


def test_any_schema():
    gold = {
        "patient": {"id": "77", "allergies": ["nuts", "nuts", "latex"]},
        "visits": [
            {
                "day": "01-02-2024",
                "drugs": [{"drug": "Aspirin", "mg": 100}, {"drug": "Metformin", "mg": 850}],
            },
            {"day": "03-02-2024", "drugs": [{"drug": "Aspirin", "mg": 300}]},
        ],
    }
    assert score([(gold, gold)]).micro_f1 == 1
    predicted = {
        "patient": {"id": 77, "allergies": ["latex", "nuts", "pollen"]},
        "visits": [
            {"day": "2024-02-03", "drugs": [{"drug": "aspirin", "mg": "300"}]},
            {"day": "2024-02-01", "drugs": [{"drug": "Metformin", "mg": 500}]},
        ],
    }
    outcome = score([(predicted, gold)])
    assert outcome.fields == {
        "patient.id": Counts(1),
        "patient.allergies": Counts(2, 1, 1),
        "visits[].day": Counts(2),
        "visits[].drugs[].drug": Counts(2, 0, 1),
        "visits[].drugs[].mg": Counts(1, 1, 2),
    }
    assert (outcome.rows_gold, outcome.omissions, outcome.wrong_values) == (5, 1, 1)
    assert list(score([(predicted, gold)], fields=["mg", "patient.id"]).fields) == ["mg", "patient.id"]
    by_strength = score([(predicted, gold)], key=["mg"], fields=["drug"])
    assert by_strength.fields["drug"] == Counts(1, 1, 2)


def test_a_record_of_another_shape_is_scored_not_refused():
    gold = {"tests": [lab("CRP")]}
    for odd in ("text", 5, ["a"], [lab("CRP")], {"tests": "none"}, {"tests": [None, "CRP", {}]}, {}):
        outcome = score([(odd, gold)], CHECKS)
        assert outcome.micro_f1 == 0 and outcome.omissions == 1


def test_core_fields_from_the_same_pairing():
    gold = [lab("Glucose", "5", specimen="serum"), lab("Urea", "30", specimen="serum")]
    six = lab_score([lab("Glucose", "5"), lab("Urea", "31")], gold)
    core = six.on(CORE)
    assert (six.counts.fn, core.counts.fn) == (3, 1)
    assert core.counts == score([({"tests": [lab("Glucose", "5"), lab("Urea", "31")]}, {"tests": gold})],
                                CHECKS, fields=CORE).counts  # fmt: skip


@given(st.lists(st.tuples(tests, some), min_size=2, max_size=6))
@settings(max_examples=30, deadline=None)
def test_intervals_hold_the_score_and_repeat(documents):
    pairs = [({"tests": one}, {"tests": two}) for one, two in documents]
    outcome, again = score(pairs, CHECKS), score(pairs, CHECKS)
    for name, limits in outcome.interval.items():
        assert limits is not None
        assert 0 <= limits[0] <= getattr(outcome, name) <= limits[1] <= 1
    assert outcome.to_dict() == again.to_dict()


def test_one_document_has_no_interval():
    assert lab_score([], [lab("CRP")]).interval == {"micro_f1": None, "macro_f1": None}
    with pytest.raises(AssayError, match="no document"):
        score([])


def test_incomplete_gold_forgives_what_it_does_not_know():
    gold, predicted = [lab("CRP", "5")], [lab("CRP", "6"), lab("Ferritin", "40")]
    full = lab_score(predicted, gold)
    part = lab_score(predicted, gold, complete=False)
    assert (full.inventions, full.unjudged, full.counts.fp) == (1, 0, 4)
    assert (part.inventions, part.unjudged, part.counts.fp) == (0, 1, 1)
    assert part.wrong_values == 1


def test_a_thousand_rows():
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghij", k=9)) for _ in range(1000)]
    gold = [lab(f"serum {word}", str(i)) for i, word in enumerate(words)]
    predicted = [lab(f"serum {word}x", str(i)) for i, word in enumerate(words)]
    assert lab_score(predicted, gold).fields["result"].tp == 1000
    alike = [lab("Glucose", str(i)) for i in range(1000)]
    assert lab_score(alike[::-1], alike).micro_f1 == 1


def write(folder: Path, **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name.replace('__', '.')}.json").write_text(text, encoding="utf-8")
    return folder


def test_folders(tmp_path):
    gold = write(tmp_path / "gold", a={"tests": [lab("CRP")]}, b={"tests": [lab("CRP")]}, c={"tests": [lab("CRP")]})
    record = {"source": "a.pdf", "status": "ok", "issues": [], "data": {"tests": [lab("CRP")]}}
    failed = {"source": "b.pdf", "status": "failed", "issues": ["torn"], "data": None}
    predictions = write(tmp_path / "out", a=record, b=failed, d={"tests": []}, _summary={"tests": []})
    (predictions / "manifest.jsonl").write_text("{}")
    outcome = score_files(predictions, gold)
    assert [document.f1 for document in outcome.documents] == [1, 0, 0]
    assert [document.name for document in outcome.documents] == ["a", "b", "c"]
    told = " ".join(outcome.to_dict()["notes"])
    assert "b: prediction without data (status failed)" in told
    assert "c: no prediction" in told and "Predictions without gold, not scored: d." in told
    assert "_summary" not in told
    # Two single files need not share a name.
    assert score_files(predictions / "a.json", gold / "c.json").micro_f1 == 1


def test_a_file_of_several_reports_is_scored_as_one(tmp_path):
    rows = [lab("Kalium", "4.1"), lab("Natrium", "140")]
    several = {
        "source": "a.pdf",
        "report_pages": [[1], [2], [3]],
        "status": "ok",
        "issues": [],
        "data": {"reports": [{"tests": rows[:1]}, None, {"tests": rows[1:]}]},
    }
    for folder, content in (("gold", {"tests": rows}), ("records", several)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.json").write_text(json.dumps(content))
    outcome = score_files(tmp_path / "records", tmp_path / "gold", contract=CHECKS)
    assert outcome.micro_f1 == 1.0 and outcome.notes == ["a: 3 reports, scored as one record."]
    assert score_files(tmp_path / "records", tmp_path / "records", contract=CHECKS).micro_f1 == 1.0


def test_label_files(tmp_path):
    rows = [
        {"test": "Natrium", "value": "140", "unit": "mmol/L", "reference_range": "136 - 145", "section": "X"},
        {"test": "CRP", "value": "4,2", "unit": "mg/L", "reference_range": None, "section": None},
    ]
    gold = write(tmp_path / "gold", a__labels={"file": "a.pdf", "complete": False, "results": rows}, a__fhir={})
    prediction = {"tests": [lab("natrium", "140", "mmol/l", specimen="Serum"), lab("Urea"),
                            lab("CRP", "4.2", "mg/L", method="x")]}  # fmt: skip
    outcome = score_files(write(tmp_path / "out", a=prediction), gold)
    assert outcome.micro_f1 == 1
    assert (outcome.unjudged, outcome.inventions) == (1, 0)
    assert set(outcome.fields) == set(CORE)
    assert outcome.documents[0].unlabelled == ("specimen", "method", "sample_collection_time")
    notes = " ".join(outcome.to_dict()["notes"])
    assert "specimen, method, sample_collection_time" in notes and "other JSON files" in notes
    assert "specimen" not in " ".join(outcome.on(CORE).to_dict()["notes"])


def test_a_field_that_gold_never_names_is_not_judged():
    """Nor counted as right: that it was left out is said."""
    gold = [{"tests": [{"name": "Natrium", "result": "140"}]}, {"tests": []}]
    said = {"tests": [lab("Natrium", "140", specimen="Serum")]}
    outcome = score([(said, gold[0]), ({"tests": []}, gold[1])], CHECKS)
    assert outcome.micro_f1 == 1 and "specimen" in outcome.documents[0].unlabelled
    assert "specimen" in " ".join(outcome.to_dict()["notes"])
    gold[0]["tests"][0]["specimen"] = None
    assert score([(said, gold[0])], CHECKS).fields["specimen"].fp == 1


def test_mistakes_are_explained(tmp_path):
    gold = write(tmp_path / "gold", a={"tests": []})
    with pytest.raises(AssayError, match=r"a\.json is not JSON: .* line 2, column 3"):
        score_files(write(tmp_path / "broken", a="{\n  oops}"), gold)
    with pytest.raises(AssayError, match="does not exist"):
        score_files(tmp_path / "nowhere", gold)
    with pytest.raises(AssayError, match="no gold"):
        score_files(gold, write(tmp_path / "empty"))
    with pytest.raises(AssayError, match="has the name of a gold file"):
        score_files(write(tmp_path / "others", z={}), gold)
    with pytest.raises(AssayError, match="no list of objects called results"):
        score_files(gold, write(tmp_path / "labels", a__labels={"tests": []}))
    with pytest.raises(AssayError, match="has no data"):
        score_files(
            gold, write(tmp_path / "null", a={"source": "a.pdf", "status": "failed", "issues": [], "data": None})
        )
    (gold / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(AssayError, match="not UTF-8"):
        score_files(gold, gold)


@needs_reports
def test_real_labels_score_themselves_perfectly_and_lose_by_a_shift(tmp_path):
    pairs, _ = read_pairs_of(REPORTS / "be_hl7", tmp_path)
    assert len(pairs) == 15 and sum(not pair.complete for pair in pairs) == 4
    outcome = score(pairs, CHECKS)
    assert outcome.micro_f1 == outcome.macro_f1 == 1 and outcome.rows_gold > 60
    # The same Glucose in five fluids: results moved on by one row must not be paired by themselves.
    five = next(pair for pair in pairs if pair.name == "uzg_1b")
    rows = five.gold["tests"]
    moved = [row | {"result": other["result"]} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)]
    shifted = score([({"tests": moved}, five.gold)], CHECKS, fields=CORE)
    assert shifted.fields["result"].tp == 0 and shifted.fields["name"].tp == len(rows)


def read_pairs_of(gold: Path, folder: Path) -> Any:
    """Gold paired with a copy of itself."""
    for path in gold.glob("*.labels.json"):
        write(folder, **{path.name.removesuffix(".labels.json"): {}})
    pairs, notes = read_pairs(folder, gold)
    return [Pair(p.gold, p.gold, p.name, p.complete, p.unlabelled) for p in pairs], notes


def test_table_and_json():
    pairs = [Pair({"tests": [lab("CRP", "6")]}, {"tests": [lab("CRP", "5")]}, f"report {i}") for i in range(12)]
    outcome = score([*pairs, Pair(None, {"tests": [lab("CRP", "5")]}, "[lost]")], CHECKS)
    console = Console(width=80, record=True, file=None, force_terminal=False)
    with console.capture() as shown:
        console.print(outcome.table())
    text = shown.get()
    assert "wrong values 12" in text and "worst 10 of 13" in text and "[lost]" in text
    assert max(map(len, text.splitlines())) <= 80
    data = json.loads(json.dumps(outcome.to_dict()))
    assert data["wrong_values"] == 12 and len(data["documents"]) == 13
    assert data["fields"]["result"] == {
        "f1": 0, "precision": 0, "recall": 0, "tp": 0, "fp": 12, "fn": 13
    }  # fmt: skip


ORDERS = {
    "type": "object",
    "properties": {
        "orders": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {key: {"type": ["string", "null"]} for key in ("note", "item", "price", "shelf", "seen")},
            },
        }
    },
}
ROLES = {"item": "name", "price": "value", "shelf": "heading", "seen": "time"}


def order(item: str, price: str, **more: str) -> dict[str, Any]:
    return {"note": f"of {price}", "item": item, "price": price, **more}


def test_the_contract_says_what_is_scored_and_what_names_a_row():
    contract = Contract(instruction="", record_schema=ORDERS, roles=ROLES, scored=("item", "price", "shelf"))
    gold = {"orders": [order("Nails", "1", shelf="A"), order("Nails", "2", shelf="B"), order("Glue", "3", shelf="B")]}
    moved = {"orders": [order("Nails", "2", shelf="A"), order("Nails", "1", shelf="B"), order("Glue", "3", shelf="B")]}
    outcome = score([(moved, gold)], contract)
    assert outcome.fields == {"item": Counts(3), "price": Counts(1, 2, 2), "shelf": Counts(3)}
    assert outcome.wrong_values == 2 and outcome.core_fields == ("item", "price")
    assert set(outcome.core.fields) == {"item", "price"} and outcome.core.micro_f1 == 4 / 6
    # Without roles a row is named by its first text, and there is no core.
    plain = score([(moved, gold)])
    assert plain.core_fields == () and plain.core is plain and plain.fields["orders[].note"] == Counts(3)
    assert plain.fields["orders[].shelf"] == Counts(1, 2, 2)
    assert set(score([(moved, gold)], contract, fields="all").fields) == {
        f"orders[].{name}" for name in ("note", "item", "price", "shelf")
    }
    assert list(score([(moved, gold)], contract, fields=["note"]).fields) == ["note"]
    by_price = score([(moved, gold)], contract, key=["price"])
    assert by_price.fields["shelf"] == Counts(1, 2, 2)


def test_a_score_over_nothing_is_an_error():
    record = {"orders": [order("Nails", "1")]}
    with pytest.raises(AssayError, match=r"nothing to score: .*name, result.* note, price"):
        score([(record, record)], CHECKS)
    with pytest.raises(AssayError, match="nothing to score"):
        score([({"orders": []}, record), ({"orders": []}, {"orders": []}), (None, record)], fields=["name"])
    with pytest.raises(AssayError, match="Gold labels none"):
        score([Pair(record, record, unlabelled=("price",))], fields=["price"])
    for empty in [({"orders": []}, {"orders": []}), (None, {})], [({"orders": [], "shop": "A"}, {"orders": []})]:
        with pytest.raises(AssayError, match="nothing to score"):
            score(empty, fields=["price"])
    with pytest.raises(AssayError, match="neither the records nor gold have any value"):
        score([(None, {"orders": []})])
    # A list that is truly empty counts as right beside others that are not.
    assert score([({"orders": []}, {"orders": []}), (record, record)], fields=["price"]).macro_f1 == 1


def test_a_suspect_score_says_so():
    record, other = {"orders": [order("Nails", "1")]}, {"rows": [{"what": "Nails"}]}
    strange = score([(record, other)])
    assert strange.micro_f1 == 0 and "no field in common" in strange.notes[0] and "what" in strange.notes[0]
    assert score([(record, record)], fields=["price", "prise"]).notes == ["Asked for, and in no record: prise."]
    assert score([(record, record), (None, record), (record, {"orders": []})]).notes == []


def test_files_are_scored_by_the_contract_beside_them(tmp_path):
    contract = Contract(instruction="", record_schema=ORDERS, roles=ROLES, scored=("item", "price"))
    record = {"orders": [order("Nails", "1")]}
    gold, out = write(tmp_path / "gold", a=record), write(tmp_path / "out", a=record)
    assert len(score_files(out, gold).fields) == 3 and score_files(out, gold).core_fields == ()
    contract.save(out)
    outcome = score_files(out, gold)
    assert list(outcome.fields) == ["item", "price"] and outcome.notes == []
    assert list(score_files(out / "a.json", gold / "a.json").fields) == ["item", "price"]
    (out / "contract.json").rename(gold / "contract.json")
    assert list(score_files(out, gold).fields) == ["item", "price"]
    # The contract names no task that could read label files.
    labels = write(tmp_path / "labels", a__labels={"results": []})
    contract.save(labels)
    with pytest.raises(AssayError, match="no format for labels"):
        score_files(out, labels)
    write(labels, contract=contract.model_copy(update={"checks": "lab_report"}).model_dump(mode="json"))
    assert score_files(write(tmp_path / "other", a=record), labels).fields["price"] == Counts(0, 1, 0)


def test_fields_of_nested_objects_are_scored_by_their_names():
    roles = {"article": "name", "amount": "value", "currency": "unit"}

    def of(amount, currency):
        return {"items": [{"article": "Bolt", "price": {"amount": amount, "currency": currency}}]}

    kinds = {"article": "string", "amount": "string", "currency": "string"}
    price = {"type": "object", "properties": {name: {"type": kinds[name]} for name in ("amount", "currency")}}
    item = {"type": "object", "properties": {"article": {"type": "string"}, "price": price}}
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": item}}}
    contract = Contract.for_schema(schema).model_copy(update={"roles": roles})
    right, wrong = (
        score([Pair(of(*said), of("2.00", "EUR"))], contract) for said in (("2.00", "EUR"), ("9.00", "USD"))
    )
    assert right.core.micro_f1 == 1.0 and wrong.core.micro_f1 == pytest.approx(1 / 3)
    assert wrong.wrong_values == 1
    scored = contract.model_copy(update={"scored": ("article", "amount")})
    assert score([Pair(of("9.00", "EUR"), of("2.00", "EUR"))], scored).micro_f1 == 0.5
