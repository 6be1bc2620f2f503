"""What is written where there is nothing, nobody knows, or a thing is not the patient's own, in seven languages."""

import pytest

from recipes.ehr_qa.lookup import run
from recipes.ehr_qa.nothing import negative, none_known, not_own, nothing, of_a_part, unknown
from recipes.ehr_qa.query import Query
from recipes.ehr_qa.records import read_record
from tests.recipes.ehr_bundles import coded, condition, patient, resource, write

NONE = [
    "No known allergies", "NKA", "Patient denies allergies", "Keine Allergien bekannt", "Keine bekannten Allergien",
    "Keine Vorerkrankungen", "Keine Dauermedikation", "Aucune allergie connue", "Pas d'allergie connue",
    "Pas d’allergie", "Absence d'antécédents", "Sin alergias conocidas", "No se conocen alergias", "Niega alergias",
    "Ninguna alergia conocida", "Geen allergieën bekend", "Geen bekende allergieën", "Geen medicatie",
    "Nessuna allergia nota", "Non allergie note", "Nega allergie", "Sem alergias conhecidas", "Nega alergias",
    "Nenhuma alergia conhecida",
]  # fmt: skip
UNKNOWN = [
    "Allergies not asked", "Unknown", "No information about allergies", "Nicht erfragt", "Allergien nicht bekannt",
    "Keine Angabe", "Non renseigné", "Allergies non demandées", "Pas d'information", "No preguntado", "Se desconoce",
    "Sin información", "Niet gevraagd", "Geen informatie", "Onbekend", "Non chiesto", "Nessuna informazione",
    "Não perguntado", "Sem informação", "Desconhecido",
]  # fmt: skip
NOT_OWN = [
    "kein Diabetes", "No diabetes", "Pas d'asthme",
    "Sin fracturas", "Geen hartfalen", "Nessuna frattura", "Sem diabetes",
    "Family history of stroke", "FH: stroke", "Suspected stroke", "Stroke ruled out", "? stroke",
    "Verdacht auf Apoplex",
    "V. a. Apoplex", "Familienanamnese: Apoplex", "Kein Hinweis auf Apoplex", "Lungenembolie ausgeschlossen",
    "Antécédents familiaux d'AVC", "Suspicion d'AVC", "AVC exclu", "Antecedentes familiares de ictus",
    "Sospecha de ictus", "Ictus descartado", "Familieanamnese beroerte", "Verdenking op beroerte",
    "Beroerte uitgesloten", "Familiarità per ictus", "Sospetto ictus", "Ictus escluso", "História familiar de AVC",
    "Suspeita de AVC", "AVC excluído",
]  # fmt: skip
THINGS = [
    "Penicillin", "Non-Hodgkin lymphoma", "Nonalcoholic fatty liver disease", "Keimbesiedelung", "Nonsteroidal",
    "Noroviruserkrankung", "Sinusitis", "Sindrome nefrotico", "Pasteurellose", "Risikoschwangerschaft",
    "Keine Entzugserscheinung bei Alkoholabhängigkeit", "Sans Souci", "Unknown primary malignant neoplasm",
    "Noturia", "Connatale Infektion", "Denervation", "Familial hypercholesterolemia", "Familiäre Hypercholesterinämie",
    "Possibility", "Negativism",
]  # fmt: skip


@pytest.mark.parametrize("name", NONE)
def test_that_there_is_none(name):
    assert none_known(name) and nothing(name) and not unknown(name)


@pytest.mark.parametrize("name", UNKNOWN)
def test_that_nobody_knows_is_not_that_there_is_none(name):
    assert unknown(name) and nothing(name) and not none_known(name)


@pytest.mark.parametrize("name", NOT_OWN)
def test_what_is_not_the_patients_own(name):
    assert not_own(name) and not nothing(name)


@pytest.mark.parametrize("name", THINGS)
def test_things_are_things(name):
    assert not nothing(name) and not not_own(name)


@pytest.mark.parametrize(
    "name", ["No known drug allergies", "Keine Arzneimittelallergien bekannt", "Aucune allergie médicamenteuse connue",
             "Sin alergias medicamentosas conocidas", "Geen bekende medicatieallergieën",
             "Nessuna allergia a farmaci nota", "Sem alergias medicamentosas conhecidas"],
)  # fmt: skip
def test_none_of_one_kind_is_not_none(tmp_path, name):
    assert none_known(name) and of_a_part(name)
    none = resource("AllergyIntolerance", "a1", code={"text": name})
    result = run(Query(what="allergy", operation="list"), read_record(write(tmp_path / "a.json", [patient(), none])))
    assert result.answer is None and name in str(result.notes)


@pytest.mark.parametrize(("name", "answer"), [("Keine Allergien bekannt", "none"), ("Allergies non demandées", None)])
def test_the_answer_is_none_only_where_the_record_says_so(tmp_path, name, answer):
    none = resource("AllergyIntolerance", "a1", code={"text": name})
    result = run(Query(what="allergy", operation="list"), read_record(write(tmp_path / "a.json", [patient(), none])))
    assert result.answer == answer and name in f"{result.said} {result.notes}"


def test_no_known_medications_are_none(tmp_path):
    none = resource(
        "MedicationStatement", "m1", status="unknown", medicationCodeableConcept=coded("No known medications")
    )
    result = run(
        Query(what="medication", operation="active"), read_record(write(tmp_path / "a.json", [patient(), none]))
    )
    assert result.answer == "none"


def test_what_is_suspected_in_another_language_is_not_had(tmp_path):
    record = read_record(write(tmp_path / "a.json", [patient(), condition("c1", "Verdacht auf Schlaganfall", "1")]))
    result = run(Query(what="condition", which="stroke", operation="exists"), record)
    assert result.answer is None and "suspected" in result.notes[0]


@pytest.mark.parametrize("value", ["Never smoker", "Urine nitrite negative", "Not detected", "Nichtraucher", "négatif",
                                   "No fumador", "niet aantoonbaar", "Non rilevato", "Não detectado"])  # fmt: skip
def test_a_value_that_says_that_a_thing_is_not_there(value):
    assert negative(value)


@pytest.mark.parametrize("value", ["Former smoker", "Urine ketone test = +++", "Rh factor negative", "O negative",
                                   "7.1 %", "Positive", "Normal size prostate"])  # fmt: skip
def test_a_value_that_says_nothing_of_the_kind(value):
    assert not negative(value)
