"""Invented patients: the same seed the same bundle, R4 in shape, and records that answer all categories' questions."""

import json
import re

import pytest

from extraction.errors import AssayError
from finetune.config import SyntheticConfig
from recipes.ehr_qa.bundle import Bundle, References
from recipes.ehr_qa.questions import CATEGORIES, make_questions
from recipes.ehr_qa.records import SECTIONS, read_record, read_records
from recipes.ehr_qa.synthetic import make_bundle, synthesize, write_patients
from recipes.ehr_qa.vocabulary import HELD, PEOPLE
from tests.recipes.test_ehr_questions import check_grounded

COUNT = 40


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Records of generated patients, by split."""
    folder = tmp_path_factory.mktemp("patients")
    found = {}
    for split in ("train", "validation"):
        synthesize(folder / split, split, SyntheticConfig(count=COUNT, seed=3))
        found[split] = read_records(folder / split)
    return found


def references(value):
    """All references in a resource."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)


def test_the_seed_decides():
    assert json.dumps(make_bundle(5)) == json.dumps(make_bundle(5)) != json.dumps(make_bundle(6))
    assert json.dumps(make_bundle(5)) != json.dumps(make_bundle(5, "validation"))


def test_bundles_are_r4_transactions_whose_urns_resolve():
    required = {
        "Condition": ("clinicalStatus", "code", "subject"),
        "MedicationRequest": ("status", "intent", "subject"),
        "Observation": ("status", "code", "subject"),
        "Immunization": ("status", "vaccineCode", "patient", "occurrenceDateTime"),
        "Encounter": ("status", "class", "subject", "period"),
        "AllergyIntolerance": ("code", "patient"),
        "Procedure": ("status", "code", "subject"),
    }
    dangling = lacking = 0
    for seed in range(COUNT):
        bundle = make_bundle(seed)
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "transaction")
        known = Bundle("made")
        for entry in bundle["entry"]:
            assert entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}"
            assert entry["request"] == {"method": "POST", "url": entry["resource"]["resourceType"]}
            known.add(entry["resource"], entry["fullUrl"])
        finder = References(known, [])
        for resource in known.resources.values():
            lacking += any(field not in resource for field in required.get(resource["resourceType"], ()))
            for reference in references(resource):
                found = finder.find(reference)
                deliberate = re.fullmatch(r"(Practitioner|Condition)/\d+", reference["reference"])
                assert bool(found) != bool(deliberate), reference
                dangling += bool(deliberate)
    assert 0 < dangling < COUNT / 4 and lacking < COUNT / 4  # flaws are there, and rare


def test_most_patients_have_all_ten_categories_and_answers_that_their_lines_hold(records):
    whole = 0
    for split, found in records.items():
        for record in found:
            questions = make_questions(record, words="train" if split == "train" else "held_out")
            check_grounded(questions, record)
            whole += {question.category for question in questions} == set(CATEGORIES)
    assert whole > 0.85 * 2 * COUNT


def test_records_differ_in_length_and_have_all_sections(records):
    lengths = sorted(len(record.lines) for record in records["train"])
    assert lengths[0] < 40 and lengths[-1] > 100 and lengths[0] > 20 and lengths[-1] < 400
    assert {fact.kind for record in records["train"] for fact in record.facts} == set(SECTIONS)
    text = "\n".join(record.text for record in records["train"])
    assert "Not shown: " in text and "[not in the bundle]" in text and re.search(r"\w\d+ \w+\d+\b", text)


def test_a_record_is_about_as_long_as_it_may_be_at_most(tmp_path):
    for most in (25, 60):
        for seed in range(6):
            path = tmp_path / f"{most}-{seed}.json"
            path.write_text(json.dumps(make_bundle(seed, most=most)))
            assert 25 <= len(read_record(path).lines) <= most + 20


def test_training_and_validation_share_no_patient_and_some_names_only_validation_has(records):
    train, validation = ("\n".join(record.text for record in found) for found in records.values())
    assert not {record.patient for record in records["train"]} & {record.patient for record in records["validation"]}
    people = [{record.lines[0].text.split(",")[0] for record in found} for found in records.values()]
    assert not people[0] & people[1]
    assert not [name for name in HELD if re.search(rf"\b{re.escape(name)}(?!\w)", train)]
    seen = {name for name in HELD if name in validation}
    kinds = {fact.kind for record in records["validation"] for fact in record.facts if fact.name in HELD}
    assert kinds >= {"condition", "medication", "observation", "immunization", "procedure"}
    assert seen & set(PEOPLE["families"]) and len(seen) > 60


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    files = write_patients(tmp_path / "a", 3, seed=1)
    assert sorted((tmp_path / "a").iterdir()) == files and len(read_records(tmp_path / "a")) == 3
    again = write_patients(tmp_path / "b", 3, seed=1)
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
    with pytest.raises(AssayError, match="not an empty folder"):
        write_patients(tmp_path / "a", 3, seed=1)
    with pytest.raises(AssayError, match="no families"):
        synthesize(tmp_path / "c", "train", SyntheticConfig(count=1, families=("us_ruled",)))

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("recipes.ehr_qa.synthetic.patients.make_bundle", broken)
    with pytest.raises(KeyboardInterrupt):
        write_patients(tmp_path / "c", 3, seed=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
