"""What records of other countries call things, and what must never be taken for another thing."""

from __future__ import annotations

import pytest

from recipes.ehr_qa.fact import Fact
from recipes.ehr_qa.resolve import resolve
from recipes.ehr_qa.sayings import rows_of, words
from recipes.ehr_qa.vocabulary import PRINTED, VACCINES_AGAINST
from tests.recipes.ehr_bundles import condition, drug, measured, resource
from tests.recipes.test_ehr_query_told import ask, made


def means(kind, asked, name):
    return bool(resolve(asked, kind, [Fact("X/1", kind, name, name)]).entries)


@pytest.mark.parametrize(
    ("kind", "name", "asked"),
    [
        ("condition", "Calculus of kidney", ["kidney stones", "Nierenstein", "cálculos renales"]),
        ("condition", "Litiasis renal izquierda", ["kidney stones", "Nierensteine"]),
        ("condition", "Bösartige Neubildung der Brustdrüse [Mamma]", ["breast cancer", "Brustkrebs", "cancer"]),
        ("condition", "Tumeur maligne du sein", ["breast cancer", "cáncer de mama"]),
        ("condition", "Linksherzinsuffizienz", ["heart failure", "Herzschwäche"]),
        ("condition", "Infarctus cérébral", ["stroke", "Schlaganfall"]),
        ("condition", "Nicht primär insulinabhängiger Diabetes mellitus", ["type 2 diabetes", "diabetes"]),
        ("condition", "Diabete mellito di tipo 2", ["type 2 diabetes", "Zucker"]),
        ("observation", "25-Hydroxyvitamin D3 [Mass/volume]", ["vitamin d", "vitamina D"]),
        ("observation", "C-reaktives Protein [Masse/Volumen] in Serum", ["CRP", "inflammation marker", "PCR"]),
        ("observation", "Alanin-Aminotransferase", ["ALT", "GPT", "ALAT", "liver enzymes"]),
        ("observation", "Velocità di eritrosedimentazione", ["ESR", "sed rate"]),
        ("immunization", "Td (adult) preservative free", ["tetanus", "diphtheria"]),
        ("immunization", "Priorix", ["measles", "MMR", "Masern"]),
        ("immunization", "Infanrix hexa", ["diphtheria", "polio", "hepatitis b", "whooping cough"]),
        ("immunization", "FSME-Immun 0.5 ml", ["tick vaccine", "TBE", "Zecken"]),
        ("procedure", "Magnetic resonance imaging of brain", ["brain scan", "head MRI"]),
        ("procedure", "CT Schädel nativ", ["brain scan", "head CT"]),
        ("procedure", "Appendektomie: Laparoskopisch", ["appendix removal", "Blinddarm", "appendix out"]),
        ("procedure", "Colecistectomía laparoscópica", ["gallbladder removal", "Gallenblasenentfernung"]),
        ("procedure", "Implantation einer Endoprothese am Hüftgelenk", ["hip replacement", "new hip"]),
    ],
)  # fmt: skip
def test_a_name_of_another_country_is_found_by_lay_words(kind, name, asked):
    assert [one for one in asked if not means(kind, one, name)] == []


@pytest.mark.parametrize(
    ("kind", "asked", "name"),
    [
        ("observation", "vitamin d", "Vitamin B12"),
        ("observation", "vitamin b12", "25-Hydroxyvitamin D3"),
        ("observation", "ALT", "Aspartat-Aminotransferase"),
        ("observation", "AST", "Alanin-Aminotransferase"),
        ("observation", "lactate", "Laktatdehydrogenase"),
        ("observation", "lactate", "Lactate dehydrogenase"),
        ("observation", "glucose", "Glucose-6-phosphate dehydrogenase"),
        ("observation", "hemoglobin", "Hémoglobine glycosylée"),
        ("observation", "creatinine", "Albumin/Kreatinin-Quotient"),
        ("observation", "albumin", "Albumin/Creatinine [Mass Ratio] in Urine"),
        ("observation", "protein", "C-reaktives Protein"),
        ("observation", "platelets", "INR in Platelet poor plasma"),
        ("observation", "temp", "Temps de prothrombine"),
        ("observation", "bone density", "Troponin T"),
        ("condition", "hepatitis a", "Epatite B"),
        ("condition", "hepatitis b", "Virushepatitis A"),
        ("condition", "type 1 diabetes", "Diabetes mellitus Typ 2"),
        ("condition", "type 1 diabetes", "Diabetes mellitus no insulinodependiente"),
        ("condition", "type 2 diabetes", "Diabetes mellitus Typ 1"),
        ("condition", "breast cancer", "Gutartige Neubildung der Brustdrüse"),
        ("condition", "breast cancer", "Bösartige Neubildung der Bronchien und der Lunge"),
        ("condition", "ckd", "Calculus of kidney"),
        ("condition", "heart attack", "Infarto cerebral"),
        ("condition", "tonsillitis", "Angine de poitrine"),
        ("condition", "angina", "Atherosclerotic heart disease of native coronary artery without angina pectoris"),
        ("condition", "cholecystitis", "Calculus of gallbladder without cholecystitis"),
        ("condition", "Gallenblasenentzündung", "Gallenblasenstein ohne Cholezystitis"),
        ("condition", "gallstones", "Calculus of kidney"),
        ("condition", "stroke", "Heat stroke"),
        ("condition", "stroke", "Golpe de calor"),
        ("condition", "diabetes", "Diabète insipide"),
        ("condition", "depression", "Depression screening negative"),
        ("condition", "seizures", "Seizure free"),
        ("observation", "creatinine", "eGFR using creatinine"),
        ("observation", "weight", "Poids de naissance"),
        ("observation", "glucose", "Estimated average glucose"),
        ("observation", "heart rate", "Fetal heart rate"),
        ("observation", "blood pressure", "Mean blood pressure"),
        ("medication", "insulin", "Insulin syringe"),
        ("procedure", "kidney removal", "Removal of calculus of kidney"),
        ("procedure", "hip replacement", "Removal of hip prosthesis"),
        ("procedure", "head CT", "MRI of brain"),
        ("immunization", "hepatitis b", "Havrix"),
        ("immunization", "hepatitis a", "Engerix-B"),
        ("immunization", "pertussis", "Td (adult) preservative free"),
        ("immunization", "meningitis b", "Prevenar 13"),
    ],
)  # fmt: skip
def test_one_thing_is_not_taken_for_another(kind, asked, name):
    assert not means(kind, asked, name)


def test_tables_speak_of_what_there_is():
    """What a table says of a plain name that no other table has would never be found."""
    for kind, names in PRINTED.items():
        plain = [words(row.english[0]) for row in rows_of(kind) if len(row.english) > 1]
        assert [name for name in names if words(name) not in plain] == [], kind
    called = {row.english[0] for row in rows_of("immunization")}
    assert {disease for against in VACCINES_AGAINST.values() for disease in against} <= called


LOINC, ICD, ATC = "http://loinc.org", "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "http://www.whocc.no/atc"


def only(code, system=""):
    """A concept that has a code, perhaps of no system, and no text."""
    return {"coding": [{"code": code} | ({"system": system} if system else {})]}


def shot(identity, code):
    status = {"status": "completed", "occurrenceDateTime": "2020-01-05", "vaccineCode": code}
    return resource("Immunization", identity, **status)


def test_a_code_without_a_text_has_its_plain_name(tmp_path):
    value = measured("o1", "-", 13.5, "g/dL", "2020-01-05") | {"code": only("718-7", LOINC)}
    pressure = measured("o2", "-", 0, "", "2020-01-05") | {"code": only("85354-9")}
    del pressure["valueQuantity"]
    pressure["component"] = [{"code": only("8480-6", LOINC), "valueQuantity": {"value": 131, "unit": "mm[Hg]"}}]
    illness = condition("c1", "-", "1") | {"code": only("E11.90", ICD)}
    cancer = condition("c2", "-", "1") | {"code": only("C50.9", "urn:oid:2.16.840.1.113883.6.90")}
    pill = drug("m1", "-", "active", "2020-01-05") | {"medicationCodeableConcept": only("B01AA04", ATC)}
    vaccine = shot("i1", only("03", "http://hl7.org/fhir/sid/cvx"))
    record = made(tmp_path, value, pressure, illness, cancer, pill, vaccine)
    found = ask(record, "observation", "hemoglobin", "latest")
    assert (found.answer, found.items[0].text) == ("13.5 g/dL", "2020-01-05 hemoglobin (718-7): 13.5 g/dL")
    assert ask(record, "observation", "systolic", "latest").answer == "131 mm[Hg]"
    for what, which in (
        ("condition", "diabetes"), ("condition", "breast cancer"), ("condition", "cancer"),
        ("medication", "phenprocoumon"),
        ("medication", "blood thinner"), ("immunization", "measles"), ("condition", "E11"),
    ):  # fmt: skip
        assert ask(record, what, which, "exists").answer is True, which
    assert ask(record, "condition", "type 1 diabetes", "exists").answer is None


def test_a_code_that_no_table_knows_is_told_and_never_guessed(tmp_path):
    """A code of another system may look like one of these: "03" is no vaccine where nothing says CVX."""
    record = made(
        tmp_path,
        shot("i1", only("03", "http://example.org/own")),
        condition("c1", "-", "1") | {"code": only("Q99.9", ICD)},
        condition("c2", "-", "1") | {"code": only("E11.90", "http://example.org/own")},
    )
    assert ask(record, "immunization", "measles", "exists").answer is None
    found = ask(record, "condition", "diabetes", "exists")
    assert found.answer is None
    assert "2 lines have a code and no name (E11.90, Q99.9), which may be this: ask by the code." in found.notes
