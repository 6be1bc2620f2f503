"""A patient's record as text: what stands in it, where it comes from, what is refused."""

import json
import random
import subprocess
import sys
from contextlib import suppress

import pytest

from extraction.errors import AssayError
from recipes.ehr_qa.facts import KINDS
from recipes.ehr_qa.records import read_record, read_records
from tests.recipes.ehr_bundles import (
    condition,
    drug,
    everything,
    measured,
    patient,
    practitioner,
    resource,
    write,
    write_lines,
)


def words(text):
    return len(text.split())


@pytest.fixture
def record(tmp_path):
    return read_record(write(tmp_path / "a.json", everything()))


def line(record, name):
    return record.lines[record.numbers[name] - 1].text


def test_lines_say_what_the_resources_say(record):
    assert line(record, "Patient/p1") == "Patient: Sr. Agustín Fonseca, male, born 1950-02-03"
    assert line(record, "Condition/c1") == "Viral sinusitis: active, onset 1990-05-06"
    assert line(record, "Condition/c2") == "Appendicitis: resolved, onset 1985-01-02, ended 1985-01-12"
    assert line(record, "MedicationRequest/m1") == (
        "Ibuprofen 200 MG Oral Tablet: active, prescribed 1990-05-06 by Dr. Noé Dibbert for Viral sinusitis"
    )
    assert line(record, "Observation/o1") == (
        "1990-05-06 Blood Pressure: Systolic Blood Pressure 121 mm[Hg], Diastolic Blood Pressure 79.5 mm[Hg]"
    )
    assert line(record, "Immunization/i1") == "1990-05-06 Td (adult) preservative free"
    assert line(record, "AllergyIntolerance/a1") == "Allergy to Peanut: active"
    assert line(record, "Procedure/r1") == "1985-01-04 Appendectomy"
    assert line(record, "CarePlan/k1") == "1990-05-06 Respiratory therapy for Viral sinusitis: active"
    assert line(record, "Encounter/e1") == (
        "1990-05-06 18:38:58 to 19:08:58+00:00 Encounter for problem: class AMB, Dr. Noé Dibbert, at St. Anna"
    )


def test_every_supported_resource_has_one_line_and_the_others_are_counted(record):
    supported = {f"{one['resourceType']}/{one['id']}" for one in everything() if one["resourceType"] in KINDS}
    traced = [line.resource for line in record.lines if line.resource]
    assert sorted(traced) == sorted(supported)
    assert record.lines[-1].text == "Not shown: 1 Claim"
    assert record.text.split("\n")[4].startswith("5: ") and len(record.text.split("\n")) == len(record.lines)


def test_the_order_of_entries_changes_nothing(record, tmp_path):
    entries = everything()
    for seed in range(5):
        random.Random(seed).shuffle(entries)
        assert read_record(write(tmp_path / "b.json", entries)).text == record.text


def test_dangling_references_are_kept_and_marked(record):
    assert "by Practitioner/lost [not in the bundle]" in line(record, "MedicationRequest/m2")
    assert line(record, "DiagnosticReport/x1") == "1991-05-06 Lipid Panel: 2 results, 1 [not in the bundle]"


def test_a_long_decimal_is_shown_in_four_digits_and_a_short_one_as_printed(tmp_path):
    path = write(tmp_path / "a.json", [patient()])
    values = {
        "160.15086612317847": "160.2",
        "5.10": "5.10",
        "1.0254398472": "1.025",
        "12345678.9": "12345679",
        "7": "7",
    }
    for printed, shown in values.items():
        one = json.dumps(measured("o", "Thing", 0, "u", "1990-01-01")).replace('"value": 0', f'"value": {printed}')
        one = one.replace("urn:uuid:p1", "Patient/p1")
        entries = f'[{{"resource": {json.dumps(patient())}}}, {{"resource": {one}}}]'
        path.write_text(f'{{"resourceType": "Bundle", "entry": {entries}}}')
        assert line(read_record(path), "Observation/o") == f"1990-01-01 Thing: {shown} u"


def test_a_time_that_is_not_its_encounters_is_printed(tmp_path):
    later = measured("o9", "Glucose", 90, "mg/dL", "1990-05-06T20:00:00+00:00")
    record = read_record(write(tmp_path / "a.json", [*everything(), later]))
    assert line(record, "Observation/o9").startswith("1990-05-06 20:00:00+00:00 Glucose")


def test_conditional_references_are_found_in_the_bundles_beside(tmp_path):
    who = "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|77"
    path = write(tmp_path / "a.json", [patient(), drug("m", "Aspirin", who=who)])
    beside = write(tmp_path / "practitioners.json", [practitioner(family="Żółć")])
    assert "by Dr. Noé Żółć" in read_record(path, [beside]).text
    assert f"by {who} [not in the bundle]" in read_record(path).text


def test_a_folder_of_bundles_and_an_export_of_two_patients(tmp_path, capsys):
    folder = tmp_path / "bundles"
    folder.mkdir()
    write(folder / "a.json", everything())
    write(folder / "b.json", [patient("p2"), condition("c9", "Gout", "90560007", subject={"reference": "Patient/p2"})])
    write(folder / "hospitals.json", [{"resourceType": "Organization", "id": "h9", "name": "X"}])
    (folder / "._a.json").write_bytes(b"\xff")
    assert [record.patient for record in read_records(folder)] == ["p1", "p2"]
    assert "hidden files (1)" in capsys.readouterr().err

    export = tmp_path / "export"
    export.mkdir()
    write_lines(export / "Patient.ndjson", [patient("p1"), patient("p2")])
    rows = [{**condition(f"c{n}", "Gout", "90560007"), "subject": {"reference": f"Patient/p{n}"}} for n in (1, 2)]
    write_lines(export / "Condition.ndjson", rows)
    records = read_records(export)
    assert [list(record.numbers) for record in records] == [
        ["Patient/p1", "Condition/c1"],
        ["Patient/p2", "Condition/c2"],
    ]
    with pytest.raises(AssayError, match="2 patients"):
        read_record(export)


def test_absurd_dates_are_kept_and_marked(tmp_path):
    rows = [
        condition("c1", "A", "1", onset="2019-02-30"),
        condition("c2", "B", "2", onset="3019-02-03"),
        condition("c3", "C", "3", onset="1940-01-01"),
        condition("c4", "D", "4", onset="1990-01-02", ended="1990-01-01"),
        condition("c5", "E", "5", onset="yesterday"),
    ]
    record = read_record(write(tmp_path / "a.json", [patient(), *rows]))
    assert "onset 2019-02-30 [no such date]" in record.text
    assert "onset 3019-02-03 [not plausible]" in record.text
    assert "onset 1940-01-01 [before birth]" in record.text
    assert "ended 1990-01-01 [before its onset]" in record.text
    assert "onset yesterday [no such date]" in record.text


def test_a_resource_of_an_unknown_patient_is_kept_and_marked(tmp_path):
    stray = {**condition("c1", "Gout", "1"), "subject": {"reference": "Patient/other"}}
    record = read_record(write(tmp_path / "a.json", [patient(), stray]))
    assert line(record, "Condition/c1").endswith("[of Patient/other, not in the bundle]")


def test_what_gives_way_is_old_and_routine_first_and_is_counted(tmp_path):
    rows = [measured(f"w{n}", "Body Weight", n, "kg", f"19{60 + n}-01-01", "vital-signs") for n in range(30)]
    record = read_record(write(tmp_path / "a.json", [*everything(), *rows]))
    full = words(record.text)
    fitted = record.fit(full - 30, words)
    assert words(fitted.text) <= full - 30
    gone = set(record.numbers) - set(fitted.numbers)
    assert gone == {f"Observation/w{n}" for n in range(len(gone))} and gone
    assert f"Observations ({len(gone)} of 34 lines left out)" in fitted.text
    assert record.fit(full, words) is record

    least = record.fit(115, words)
    kept = set(least.numbers)
    assert kept >= {"Patient/p1", "AllergyIntolerance/a1", "Condition/c1", "MedicationRequest/m1"}
    assert sum(least.omitted.values()) + len(kept) == len(record.numbers)
    assert "Encounters (1 of 1 lines left out)" in least.text


def test_a_record_over_any_budget_says_what_it_needs(record):
    with pytest.raises(AssayError, match=r"needs \d+ tokens .* over the budget of 10"):
        record.fit(10, words)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([condition("c1", "Gout", "1")], "has no Patient"),
        ([patient(), patient("p2")], "has 2 patients"),
        ([patient(), condition("c1", "Gout", "1"), condition("c1", "Flu", "2")], "Condition/c1 twice"),
        ([patient(), {**condition("c1", "Gout", "1"), "clinicalStatus": "active"}], "FHIR STU3, not R4"),
        ([patient(), {"resourceType": "MedicationOrder", "id": "m"}], "FHIR DSTU2, not R4"),
        ([patient(), resource("MedicationRequest", "m", medication={"concept": {}})], "FHIR R5, not R4"),
        ([patient(), {"id": "x"}], "no resourceType"),
    ],
)
def test_bad_bundles_are_refused_in_a_sentence(tmp_path, resources, message):
    with pytest.raises(AssayError, match=message):
        read_record(write(tmp_path / "a.json", resources))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1, 2]", "without a resourceType"),
        ("<Bundle xmlns='http://hl7.org/fhir'/>", "has no Patient"),
        ("<Bundle", "not valid XML"),
        ('{"resourceType": "Bundle", "entry": [3]}', "not FHIR"),
        ('{"resourceType": "Bundle"}', "has no Patient"),
    ],
)
def test_what_is_not_fhir_is_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(AssayError, match=message):
        read_record(tmp_path / "a.json")


def test_missing_files_and_empty_folders_are_named(tmp_path):
    with pytest.raises(AssayError, match="There is no file"):
        read_record(tmp_path / "none.json")
    with pytest.raises(AssayError, match=r"holds no \.json"):
        read_records(tmp_path)


def test_fields_of_a_wrong_shape_do_not_break_the_record(tmp_path):
    rng = random.Random(3)
    for one in everything():
        for name in sorted(set(one) - {"resourceType", "id"}):
            odd = {**one, name: rng.choice([5, "x", [], {}, ["x"], [[]], None, True])}
            rest = [other for other in everything() if other["id"] != one["id"]]
            with suppress(AssayError):
                assert read_record(write(tmp_path / "a.json", [*rest, odd])).text


def test_the_command_prints_the_record_or_one_line_of_error(tmp_path):
    def run(path):
        command = [sys.executable, "-m", "recipes.ehr_qa.show", str(path)]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")

    done = run(write(tmp_path / "a.json", everything()))
    assert done.returncode == 0 and "1: Patient: Sr. Agustín Fonseca" in done.stdout
    failed = run(tmp_path / "b.json")
    assert failed.returncode == 2 and failed.stderr.count("\n") == 1 and failed.stderr.startswith("Error: ")


def test_real_bundles(shared_data):
    folder = shared_data / "fhir_synthea"
    assert len(read_records(folder)) == 6
    for path in sorted(folder.glob("*_*-*.json")):
        entries = json.loads(path.read_text(encoding="utf-8"))["entry"]
        supported = [one["resource"] for one in entries if one["resource"]["resourceType"] in KINDS]
        record = read_record(path)
        assert sorted(record.numbers) == sorted(f"{one['resourceType']}/{one['id']}" for one in supported)
        assert "[not in the bundle]" not in record.text
