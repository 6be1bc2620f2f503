"""Whole records in the shapes of Swiss, British, German and other systems, all of it invented."""

from tests.recipes.ehr_bundles import PATIENT, patient, practitioner, resource
from tests.recipes.other_systems import (
    ATC,
    ICD,
    LOINC,
    OPS,
    SNOMED,
    concept,
    found,
    problem,
    result,
    status,
    stay,
    taken,
)


def swiss():
    """CH Core and CH EMED: German and French texts, mostly without codes, contained medications."""
    eliquis = {
        "resourceType": "Medication",
        "id": "med",
        "code": concept("Eliquis Filmtabl 5 mg", ("urn:oid:2.51.1.1", "7680615630023", None)),
        "ingredient": [{"itemCodeableConcept": concept("Apixaban")}],
    }
    nameless = {
        "resourceType": "Medication",
        "id": "med",
        "ingredient": [{"itemCodeableConcept": concept(None, (ATC, "C07AB02", "Metoprolol"))}],
    }
    of = "#med"
    return [
        patient(name=[{"family": "Rochat", "given": ["Béatrice"]}], gender="female", birthDate="1949-07-14"),
        problem("c1", concept("Arterielle Hypertonie"), onsetDateTime="2008"),
        problem("c2", concept("Vorhofflimmern"), onsetDateTime="2019-02-11"),
        problem("c3", concept("Diabète de type 2"), recordedDate="2016-10-01"),
        problem("c4", concept("V. a. Lungenembolie"), recordedDate="2019-02-10"),
        problem("c5", concept("Antécédents familiaux de cancer du sein"), recordedDate="2016-10-01"),
        problem("c6", concept("Myokardinfarkt ausgeschlossen"), recordedDate="2019-02-10"),
        taken("m1", of, start="2019-02-12", contained=[eliquis], reasonCode=[concept("Vorhofflimmern")],
              dosage=[{"text": "1-0-1-0"}]),
        taken("m2", of, start="2012-05", contained=[nameless]),
        taken("m3", concept("Metformin Mepha Lactab 1000 mg"), "completed", "2016-10-01", "2018-01-31"),
        resource("AllergyIntolerance", "a1", clinicalStatus=status("active"), code=concept("Penicilline"),
                 reaction=[{"manifestation": [concept("Urticaire")]}]),
        resource("Immunization", "i1", status="completed", vaccineCode=concept("Boostrix Polio",
                 ("", "681", "Diphtherie, Tetanus, Pertussis, Polio")), occurrenceDateTime="2015-03-20"),
        resource("Immunization", "i2", status="completed", vaccineCode=concept("Grippeimpfung"),
                 occurrenceDateTime="2019-11-02"),
        result("o1", concept("Kalium"), 4.4, "mmol/L", "2019-02-10"),
        result("o2", concept("Kreatinin"), 88, "umol/L", "2019-02-10"),
        result("o3", concept("Créatinine"), 97, "umol/L", "2020-06-30"),
        result("o4", concept("Körpergewicht"), 71.5, "kg", "2020-06-30"),
        resource("Procedure", "r1", status="completed", code=concept("Appendektomie"), performedDateTime="1966"),
        resource("Procedure", "r2", status="completed", code=concept("Koloskopie"), performedDateTime="2017-09-05"),
        resource("DiagnosticReport", "x1", status="final", code=concept("Röntgen Thorax"),
                 issued="2019-02-10T14:00:00+01:00", conclusion="Kein Infiltrat."),
        stay("e1", "IMP", "2019-02-10", "2019-02-14"),
    ]  # fmt: skip


def _sure(code, sign, name=None):
    """An ICD-10-GM diagnosis with its certainty: G (sure), V (suspected), Z (was there), A (excluded)."""
    url = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"
    made = concept(None, (ICD, code, name))
    made["coding"][0]["extension"] = [{"url": url, "valueCoding": {"code": sign}}]
    return made


def given(identity, drug, day, state="completed", **fields):
    return resource("MedicationAdministration", identity, status=state, medicationCodeableConcept=drug,
                    effectiveDateTime=day, **fields)  # fmt: skip


def _mii_drugs():
    pip = concept(None, (ATC, "J01CR05", "Piperacillin und Enzym-Inhibitoren"))
    ramipril = {
        "resourceType": "Medication",
        "id": "d9",
        "ingredient": [
            {
                "itemCodeableConcept": concept(None, (ATC, "C09AA05", "Ramipril")),
                "strength": {"numerator": {"value": 5}},
            }
        ],
    }
    return [
        ramipril,
        given("m1", pip, "2023-10-28T20:00:00+02:00"),
        given("m2", pip, "2023-10-29T02:30:00+02:00"),
        given("m3", pip, "2023-10-29T02:10:00+01:00", dosage={"dose": {"value": 4.5, "code": "g"}}),
        given("m4", concept("Vancomycin", (ATC, "J01XA01", None)), "2023-10-28", "not-done"),
        resource("MedicationRequest", "m5", status="completed", intent="order", medicationCodeableConcept=pip,
                 authoredOn="2023-10-28"),
        taken("m6", "urn:uuid:d9", start="2015"),
    ]  # fmt: skip


def mii():
    """The German MII core data set: ICD-10-GM, ATC and OPS codes, UCUM codes as units, a stay in three levels."""
    crp = concept(None, (LOINC, "1988-5", "C reactive protein [Mass/volume] in Serum or Plasma"))
    lactate = concept("Laktat", (LOINC, "2524-7", "Lactate [Moles/volume] in Serum or Plasma"))
    below = result("o3", crp, 0.6, "mg/L", "2023-11-20", interpretation=[concept(None, ("", "N", None))])
    below["valueQuantity"]["comparator"] = "<"
    gases = result("o7", concept("Blutgasanalyse"), 0, "", "2023-10-28T19:00:00+02:00")
    del gases["valueQuantity"]
    gases["component"] = [
        {"code": concept(name), "valueQuantity": {"value": value, "code": unit}}
        for name, value, unit in (("pH", 7.29, "[pH]"), ("pCO2", 31, "mm[Hg]"))
    ]
    level = [[concept(None, ("", code, name))] for code, name in (("einrichtungskontakt", "Einrichtungskontakt"),
             ("abteilungskontakt", "Abteilungskontakt"))]  # fmt: skip
    sepsis = {"diagnosis": [{"condition": {"reference": "urn:uuid:c1"}}]}
    return [
        patient(name=[{"family": "Brandt", "given": ["Jürgen"]}], birthDate="1955-01-20"),
        problem("c1", _sure("A41.9", "G", "Sepsis, nicht näher bezeichnet"), None, recordedDate="2023-10-28"),
        problem("c2", _sure("I10.90", "G", "Essentielle Hypertonie, nicht näher bezeichnet"), "active",
                recordedDate="2015-06-01"),
        problem("c3", _sure("I26.9", "A", "Lungenembolie ohne Angabe eines akuten Cor pulmonale"), None,
                recordedDate="2023-10-29"),
        problem("c4", _sure("J18.9", "V", "Pneumonie, nicht näher bezeichnet"), None, recordedDate="2023-10-28"),
        problem("c5", _sure("I63.9", "Z", "Hirninfarkt, nicht näher bezeichnet"), None, recordedDate="2015"),
        problem("c6", concept(None, (ICD, "E11.90", None)), "active", recordedDate="2019-03-03"),
        *_mii_drugs(),
        result("o1", crp, 212, "mg/L", "2023-10-28T19:05:00+02:00", interpretation=[concept(None, ("", "HH", None))]),
        result("o2", crp, 240.5, "mg/L", "2023-10-28T23:55:00+02:00"), below,
        result("o4", lactate, 4.1, "mmol/L", "2023-10-28T19:05:00+02:00"),
        result("o5", lactate, 3.2, "mmol/L", "2023-10-29T02:45:00+02:00"),
        result("o6", lactate, 1.9, "mmol/L", "2023-10-29T02:20:00+01:00"),
        gases,
        result("o8", concept(None, (LOINC, "718-7", None)), 13.4, "g/dL", "2023-10-28"),
        result("o9", concept("Natrium"), 139, "mmol/L", "2014"),
        resource("Procedure", "r1", status="completed", code=concept(None, (OPS, "8-930",
                 "Monitoring von Atmung, Herz und Kreislauf")), performedDateTime="2023-10-28"),
        resource("Procedure", "r2", status="preparation", code=concept("Koloskopie", (OPS, "1-650", None))),
        stay("e1", "IMP", "2023-10-28T18:40:00+02:00", "2023-11-08", type=level[0], **sepsis),
        stay("e2", "IMP", "2023-10-28T18:40:00+02:00", "2023-10-31", type=level[1],
             partOf={"reference": "urn:uuid:e1"}),
        stay("e3", "IMP", "2023-10-31", "2023-11-08", type=level[1], partOf={"reference": "urn:uuid:e1"}),
        stay("e4", "AMB", "2023-11-20", "2023-11-20", type=level[0]),
        resource("AllergyIntolerance", "a1", code=concept("Keine Allergien bekannt")),
    ]  # fmt: skip


def uk():
    """UK Core: SNOMED CT UK displays, dm+d medicines, statements with their reasons, a GP's record."""
    dmd = "https://dmd.nhs.uk"
    ethnic = {"url": "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-EthnicCategory",
              "valueCodeableConcept": concept(None, ("", "A", "British, Mixed British"))}  # fmt: skip
    smear = concept(None, (LOINC, "10524-7", None), (SNOMED, "1155766001", "Cervical smear result"))
    urea = concept("Serum urea level", (SNOMED, "1000951000000103", None))
    low = result("o3", concept("Serum ferritin level"), 9, "ug/L", "2018-05-14")
    return [
        patient(name=[{"family": "Ashworth", "given": ["Maureen"]}], gender="female", birthDate="1962-12-05",
                extension=[ethnic]),
        practitioner("d1", "Patel"),
        problem("c1", concept(None, (SNOMED, "40930008", "Hypothyroidism (disorder)")), onsetDateTime="2004-09"),
        problem("c2", concept(None, (SNOMED, "73211009", "Diabetes mellitus (disorder)")), None, "refuted",
                recordedDate="2018-05-14"),
        problem("c3", concept("FH: Ischaemic heart disease at less than 60 years"), recordedDate="2010-03-01"),
        problem("c4", concept("Suspected deep vein thrombosis"), recordedDate="2017-08-08"),
        problem("c5", concept("Oesophageal varices"), "inactive", onsetDateTime="2001"),
        taken("m1", concept("Levothyroxine sodium 50microgram tablets", (dmd, "376816006", None)), start="2004-09-20",
              reasonCode=[concept("Hypothyroidism")], dosage=[{"text": "ONE to be taken each morning"}]),
        taken("m2", concept("Ferrous fumarate 210mg tablets", (dmd, "376521003", None)), "completed", "2018-05-15",
              "2018-11-15", reasonReference=[{"reference": "urn:uuid:o3"}]),
        resource("MedicationRequest", "m3", status="active", intent="plan", authoredOn="2023-01-09",
                 medicationCodeableConcept=concept("Co-amoxiclav 500mg/125mg tablets"), doNotPerform=True),
        resource("MedicationRequest", "m4", status="completed", intent="order", authoredOn="2023-01-09",
                 medicationCodeableConcept=concept("Clarithromycin 500mg tablets", (dmd, "324252006", None)),
                 requester={"reference": "urn:uuid:d1"}),
        resource("AllergyIntolerance", "a1", clinicalStatus=status("active"), verificationStatus=status("unconfirmed"),
                 code=concept(None, (SNOMED, "294505008", "Allergy to amoxicillin")), recordedDate="1989-06-01"),
        resource("Immunization", "i1", status="completed", occurrenceDateTime="2022-10-11", vaccineCode=concept(
                 "Influenza vaccine (split virion, inactivated) suspension for injection 0.5ml pre-filled syringes")),
        result("o1", urea, 6.1, "mmol/L", "2018-05-14"), result("o2", urea, 7.9, "mmol/L", "2022-10-11T09:10:00+01:00"),
        low, found("o4", smear, concept("Negative"), "2019-02-02"),
        resource("Procedure", "r1", status="completed", code=concept(None, (SNOMED, "80146002", "Appendicectomy")),
                 performedDateTime="1975"),
        resource("Procedure", "r2", status="entered-in-error", code=concept("Hysterectomy"),
                 performedDateTime="2008-01-01"),
        stay("e1", "EMER", "2017-08-08T21:00:00+01:00", "2017-08-09T03:00:00+01:00"),
        stay("e2", "AMB", "2022-10-11", "2022-10-11", type=[concept("GP surgery consultation")]),
        stay("e3", "VR", "2023-01-09", "2023-01-09", reasonCode=[concept("Acute sinusitis")]),
        {"resourceType": "Flag", "id": "z1", "status": "active", "subject": {"reference": f"urn:uuid:{PATIENT}"}},
    ]  # fmt: skip


def latin():
    """Spanish, Italian and Dutch texts alone, with what FHIR allows and few write: ages, ratios, values that lack."""
    pressure = result("o6", concept("Tensión arterial"), 0, "", "2021-05-05")
    del pressure["valueQuantity"]
    pressure["component"] = [
        {"code": concept("Presión sistólica"), "valueQuantity": {"value": 138, "code": "mm[Hg]"}},
        {"code": concept("Presión diastólica"), "dataAbsentReason": concept("not performed")},
    ]
    awaited = resource("Observation", "o7", status="registered", code=concept("Ferritina"), issued="2023-01-01")
    return [
        patient(name=[{"text": "Lucía Ferrer"}], gender="female", birthDate="1980"),
        problem("c1", concept("Asma"), onsetAge={"value": 8, "unit": "a"}),
        problem("c2", concept("Hipotiroidismo"), onsetPeriod={"start": "2010", "end": "2012"}),
        problem("c3", concept("Schizofrenie"), "remission", onsetString="als tiener"),
        problem("c4", concept("Diabete mellito tipo 2"), recordedDate="2019-01-01"),
        problem("c5", concept("Embarazo"), "resolved", onsetDateTime="2015-02-01", abatementDateTime="2015-11-03"),
        problem("c6", concept("Sospecha de celiaquía"), recordedDate="2020-01-01"),
        taken("m1", concept("Metformina 850 mg comprimidos"), start="2019-01-10",
              reasonReference=[{"reference": "urn:uuid:c4"}]),
        taken("m2", concept("Omeprazol 20 mg"), "intended", "2030-01-01"),
        taken("m3", concept("Ibuprofeno 600 mg"), "on-hold", "2021"),
        resource("MedicationRequest", "m4", status="active", intent="order", authoredOn="2012-03-01",
                 medicationCodeableConcept=concept("Levotiroxina 75 microgramos"), requester={"display": "Dra. Vidal"}),
        resource("MedicationDispense", "m5", status="completed", whenHandedOver="2023-02-02",
                 medicationCodeableConcept=concept("Amoxicilina 500 mg")),
        resource("AllergyIntolerance", "a1", code=concept("Penicilina"), verificationStatus=status("refuted")),
        resource("AllergyIntolerance", "a2", code=concept("Frutos secos"), clinicalStatus=status("inactive")),
        resource("Immunization", "i1", status="completed", vaccineCode=concept("Vacuna antitetánica"),
                 occurrenceString="en la infancia"),
        result("o1", concept("Glucosa"), 140, "mg/dl", "2020-01-01"),
        result("o2", concept("Glucosa"), 155, "mg/dL", "2021-05-05"),
        result("o3", concept("Glucosa"), 6.9, "mmol/L", "2022-01-01"),
        resource("Observation", "o4", status="final", code=concept("ANA"), effectiveInstant="2021-05-05T08:00:00Z",
                 valueRatio={"numerator": {"value": 1}, "denominator": {"value": 160}}),
        resource("Observation", "o5", status="final", code=concept("SARS-CoV-2 PCR"), valueString="positivo",
                 effectivePeriod={"start": "2021-05-05"}),
        pressure, awaited,
        resource("Procedure", "r1", status="completed", code=concept("Cesárea"), performedDateTime="2015-11-03"),
        resource("Procedure", "r2", status="completed", code=concept("Tonsillectomie"),
                 performedAge={"value": 6, "unit": "a"}),
        stay("e1", "IMP", "2015-11-02", "2015-11-06", type=[concept("Ingreso por parto")]),
    ]  # fmt: skip
