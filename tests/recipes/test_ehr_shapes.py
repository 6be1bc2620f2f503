"""Bundles in the shapes of other systems: what they have that Synthea's have not stands in the lines."""

from xml.etree import ElementTree

import pytest

from recipes.ehr_qa.lookup import run
from recipes.ehr_qa.query import Query
from recipes.ehr_qa.records import read_record
from tests.recipes.ehr_bundles import coded, condition, drug, everything, measured, patient, resource, write


def lines(folder, *resources):
    return [line.text for line in read_record(write(folder / "a.json", [patient(), *resources])).lines]


def allergy(**fields):
    return resource("AllergyIntolerance", "s1", clinicalStatus=coded("active", "active"), **fields)


def undated(**fields):
    one = measured("s1", "Ferritin", 12, "ug/L", "2020-01-05")
    del one["effectiveDateTime"]
    return one | fields


def ended(**fields):
    made = condition("s1", "Asthma", "195967001") | fields
    return {name: value for name, value in made.items() if value is not None}


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (undated(issued="2021-02-03T10:00:00+01:00"), "2021-02-03 10:00:00+01:00 Ferritin: 12 ug/L"),
        (undated(issued="2021-02-03", interpretation=[coded("Niedrig", "L")]), "2021-02-03 Ferritin: 12 ug/L (L)"),
        (undated(issued="2021-02-03", referenceRange=[{"low": {"value": 20}, "high": {"value": 250, "unit": "ug/L"}}]),
         "2021-02-03 Ferritin: 12 ug/L, reference 20 - 250 ug/L"),
        (undated(issued="2021-02-03", note=[{"text": "haemolysed"}]), "2021-02-03 Ferritin: 12 ug/L, note: haemolysed"),
        (allergy(code={"coding": [{"system": "http://snomed.info/sct", "code": "91936005"}], "text": "Penicillin"},
                 onsetDateTime="2001", recordedDate="2015-04-01", criticality="high",
                 reaction=[{"manifestation": [{"text": "Urticaria"}], "severity": "moderate"}]),
         "Allergy to Penicillin: active, criticality high, reaction Urticaria (moderate), onset 2001, "
         "recorded 2015-04-01"),
        (allergy(code={"coding": [{"system": "http://snomed.info/sct", "code": "716186003"}]}),
         "No known allergies: active"),
        (condition("s1", "Asthma", "195967001", onset="2010-01-01", severity=coded("Severe")),
         "Asthma: active, Severe, onset 2010-01-01"),
        (ended(clinicalStatus=None, onsetDateTime=None, recordedDate="2020-01-01",
               abatementAge={"value": 50, "unit": "a"}),
         "Asthma: recorded 2020-01-01, ended at 50 a"),
        (ended(recordedDate="2020-01-01", onsetDateTime=None, abatementDateTime="2010-01-01"),
         "Asthma: active, recorded 2020-01-01, ended 2010-01-01"),  # recorded late is no onset
        (drug("s1", "Metformin 500 MG", "stopped", "2010-01-01", statusReason=coded("Nausea"),
              dosageInstruction=[{"text": "1-0-1 with meals"}]),
         "Metformin 500 MG: stopped, prescribed 2010-01-01 by urn:uuid:d1 [not in the bundle], 1-0-1 with meals, "
         "stopped because of Nausea"),
        (resource("Immunization", "s1", status="completed", vaccineCode=coded("MMR"), occurrenceDateTime="2010-01-01",
                  protocolApplied=[{"doseNumberPositiveInt": 2}]), "2010-01-01 MMR: dose 2"),
        (resource("Immunization", "s1", status="completed", vaccineCode=coded("MMR"), occurrenceString="about 1996",
                  isSubpotent=True, reaction=[{"detail": {"display": "Fever"}}]),
         "about 1996 MMR: subpotent, reaction Fever [not in the bundle]"),
        (resource("Procedure", "s1", status="completed", code=coded("Knee replacement"), performedString="in 2009",
                  complication=[coded("Wound infection")]), "in 2009 Knee replacement: complication Wound infection"),
        (resource("MedicationStatement", "s1", status="not-taken", medicationCodeableConcept=coded("Tamoxifen"),
                  effectiveDateTime="2022-05-05", statusReason=[coded("hot flushes")]),
         "Tamoxifen: not-taken, taken 2022-05-05, not-taken because of hot flushes"),
        (resource("DiagnosticReport", "s1", status="final", code=coded("CT chest"), effectiveDateTime="2022-03-03",
                  conclusion="Nodule seen", conclusionCode=[coded("Nodule of lung")]),
         "2022-03-03 CT chest: Nodule seen, Nodule of lung"),
        (resource("ServiceRequest", "s1", status="active", intent="order", code=coded("Colonoscopy"),
                  authoredOn="2020-05-05"), "2020-05-05 Colonoscopy: active, order, not a finding"),
        (resource("Composition", "s1", status="final", type=coded("Patient summary"), date="2020-05-05",
                  section=[{"title": "Plan", "text": {"div": "<div><p>Lose <b>5 kg</b> &amp; walk</p></div>"}}]),
         "2020-05-05 Patient summary: Plan: Lose 5 kg & walk"),
    ],
)  # fmt: skip
def test_what_a_resource_has_stands_in_its_line(tmp_path, made, text):
    assert text in lines(tmp_path, made)


def test_an_order_is_nothing_that_was_done_and_no_known_allergy_is_none(tmp_path):
    order = resource("ServiceRequest", "s1", status="active", intent="order", code=coded("Colonoscopy"))
    none = resource(
        "AllergyIntolerance", "s2", code={"coding": [{"code": "716186003"}]}, clinicalStatus=coded("", "active")
    )
    record = read_record(write(tmp_path / "a.json", [patient(), order, none]))
    assert run(Query(what="procedure", which="colonoscopy", operation="exists"), record).answer is None
    assert run(Query(what="allergy", operation="list"), record).answer == "none"
    assert run(Query(what="allergy", which="penicillin", operation="exists"), record).answer is None


def test_what_has_ended_is_not_active_though_no_status_says_so(tmp_path):
    over = ended(clinicalStatus=None, abatementAge={"value": 50, "unit": "a"})
    record = read_record(write(tmp_path / "a.json", [patient(), over]))
    assert run(Query(what="condition", which="asthma", operation="active"), record).answer is False


def as_xml(name, value, parent):
    for one in value if isinstance(value, list) else [value]:
        node = ElementTree.SubElement(parent, name)
        if isinstance(one, dict):
            inner = node
            if "resourceType" in one:
                inner = ElementTree.SubElement(node, one["resourceType"])
            for key, below in one.items():
                if key != "resourceType":
                    as_xml(key, below, inner)
        else:
            node.set("value", str(one).lower() if isinstance(one, bool) else str(one))


def test_xml_is_read_as_json_is(tmp_path):
    entries = [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in everything()]
    root = ElementTree.Element("Bundle", xmlns="http://hl7.org/fhir")
    as_xml("entry", entries, root)
    (tmp_path / "a.xml").write_bytes(ElementTree.tostring(root))
    written = read_record(tmp_path / "a.xml")
    told = read_record(write(tmp_path / "a.json", everything()))
    # XML does not tell a number of many digits from a text.
    assert written.text.replace("160.15086612317847", "160.2") == told.text
