"""Whole records in the shapes of systems that are not Synthea, written for the tests; all patients are invented.

Each function gives one patient's resources as that profile lays them out: where names stand, which codes, which dates.
"""

from tests.recipes.ehr_bundles import coded, condition, patient, practitioner, resource

SNOMED, LOINC, ATC = "http://snomed.info/sct", "http://loinc.org", "http://www.whocc.no/atc"
ICD, OPS = "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "http://fhir.de/CodeSystem/bfarm/ops"
ABSENT = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
CLASS = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def concept(text=None, *codings):
    """A CodeableConcept of a text and of codings (system, code, display), each of which may lack."""
    made = [{"system": s, "code": c} | ({"display": d} if d else {}) for s, c, d in codings]
    return ({"coding": made} if made else {}) | ({"text": text} if text else {})


def status(code):
    return {"coding": [{"code": code}]}


def problem(identity, code, state="active", verified="confirmed", **fields):
    known = {"clinicalStatus": status(state)} if state else {}
    return resource("Condition", identity, code=code, verificationStatus=status(verified), **known, **fields)


def result(identity, code, value, unit, day, **fields):
    """An Observation whose unit is a UCUM code alone."""
    amount = {"valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": unit}}
    kind = {"category": [concept(None, ("", "laboratory", None))], "effectiveDateTime": day}
    return resource("Observation", identity, status="final", code=code, **kind | amount | fields)


def found(identity, code, value, day, **fields):
    """An Observation whose value is a concept."""
    return resource(
        "Observation", identity, status="final", code=code, effectiveDateTime=day, valueCodeableConcept=value, **fields
    )


def taken(identity, drug, state="active", start=None, end=None, **fields):
    """A MedicationStatement; `drug` is a reference's text or a concept."""
    named = (
        {"medicationReference": {"reference": drug}} if isinstance(drug, str) else {"medicationCodeableConcept": drug}
    )
    span = {name: day for name, day in (("start", start), ("end", end)) if day}
    when = {"effectivePeriod": span} if span else {}
    return resource("MedicationStatement", identity, status=state, **named, **when, **fields)


def stay(identity, kind, start, end, **fields):
    return resource(
        "Encounter", identity, status="finished", period={"start": start, "end": end},
        **{"class": {"system": CLASS, "code": kind}}, **fields,
    )  # fmt: skip


def section(title, code, *entries, empty=None, said=""):
    made = {"title": title, "code": concept(None, (LOINC, code, None))}
    made["text"] = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{said}</p></div>'}
    if empty:
        reason = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
        return made | {"emptyReason": concept(None, (reason, empty, None))}
    return made | {"entry": [{"reference": f"urn:uuid:{one}"} for one in entries]}


def ips():
    """An International Patient Summary: a document whose sections name their entries, or say why they have none."""
    absent = {"clinicalStatus": status("active"), "code": concept(None, (ABSENT, "no-known-allergies", None))}
    return [
        resource(
            "Composition", "s1", status="final", date="2021-03-05T09:00:00+01:00", title="Patient Summary",
            type=concept(None, (LOINC, "60591-5", "Patient summary Document")),
            section=[
                section("Allergies", "48765-2", "s2", said="No known allergies"),
                section("Problems", "11450-4", "s3", "s4", "s5", said="Hypertension, migraine, pyelonephritis (past)"),
                section("Medication", "10160-0", "s7", "s8", said="Enalapril; anastrozole until 2020"),
                section("Procedures", "47519-4", empty="nilknown", said="No procedures known"),
                section("Immunizations", "11369-6", "s15", said="No information"),
                section("Plan", "18776-5", said="Colonoscopy is planned for autumn; see the cardiologist."),
            ],
        ),
        patient(name=[{"family": "Solheim", "given": ["Ingrid"]}], gender="female", birthDate="1958-11-02"),
        resource("AllergyIntolerance", "s2", **absent),
        problem("s3", concept(None, (SNOMED, "59621000", "Essential hypertension (disorder)")),
                onsetDateTime="2014-06"),
        problem("s4", concept("Migraine", (SNOMED, "37796009", "Migraine")), onsetDateTime="2009"),
        problem("s5", concept(None, (SNOMED, "45816000", "Pyelonephritis")), "resolved",
                onsetDateTime="2011-02-10", abatementDateTime="2011-03"),
        {"resourceType": "Medication", "id": "s6",
         "code": concept(None, (ATC, "C09AA02", "enalapril"),
                         (SNOMED, "376772000", "Enalapril maleate 10 mg oral tablet"))},
        taken("s7", "urn:uuid:s6", start="2017-03", dosage=[{"text": "one tablet daily"}]),
        taken("s8", concept("Anastrozole 1 mg tablet", (ATC, "L02BG03", "anastrozole")), "completed",
              "2015-03", "2020-04-30"),
        {"resourceType": "Device", "id": "s9", "type": concept(None, (SNOMED, "14106009", "Cardiac pacemaker"))},
        resource("DeviceUseStatement", "s10", status="active", device={"reference": "urn:uuid:s9"},
                 timingPeriod={"start": "2019-05-20"}),
        found("s11", concept(None, (LOINC, "82810-3", "Pregnancy status")), concept(None, (SNOMED, "60001007",
              "Not pregnant")), "2021-03-01"),
        found("s12", concept(None, (LOINC, "72166-2", "Tobacco smoking status")), concept("Ex-smoker"), "2021-03-01"),
        result("s13", concept(None, (LOINC, "2160-0", "Creatinine [Mass/volume] in Serum or Plasma")), 0.9, "mg/dL",
               "2021-03-01T07:45:00+01:00"),
        result("s14", concept(None, (LOINC, "718-7", "Hemoglobin [Mass/volume] in Blood")), 12.1, "g/dL", "2020-01"),
        resource("Immunization", "s15", status="completed", occurrenceString="unknown",
                 vaccineCode=concept(None, (ABSENT, "no-immunization-info", None))),
    ]  # fmt: skip


def _us_person():
    us = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
    extension = [
        {"url": f"{us}{kind}", "extension": [{"url": "text", "valueString": text}]}
        for kind, text in (("race", "Black or African American"), ("ethnicity", "Not Hispanic or Latino"))
    ]
    return patient(name=[{"family": "Okafor", "given": ["Denise"]}], gender="female", birthDate="1966-04-09",
                   extension=extension)  # fmt: skip


def _us_drugs():
    lisinopril = {"resourceType": "Medication", "id": "med", "code": concept(
        None, ("http://www.nlm.nih.gov/research/umls/rxnorm", "314076", "Lisinopril 10 MG Oral Tablet"))}  # fmt: skip
    of = {"contained": [lisinopril], "medicationReference": {"reference": "#med"}}
    order = {"reference": "MedicationRequest/m1"}
    return [
        resource("MedicationRequest", "m1", status="active", intent="order", authoredOn="2021-02-01",
                 requester={"reference": "Practitioner/d1"}, reasonCode=[concept("Hypertension")],
                 dispenseRequest={"numberOfRepeatsAllowed": 3, "quantity": {"value": 30}}, **of),
        *(resource("MedicationDispense", f"m{n}", status="completed", whenHandedOver=day,
                   authorizingPrescription=[order], quantity={"value": 30, "unit": "tablet"}, **of)
          for n, day in ((2, "2021-02-02"), (3, "2021-03-04"))),
        resource("MedicationRequest", "m4", status="active", intent="plan", reportedBoolean=True,
                 medicationCodeableConcept=concept("Aspirin 81 MG Oral Tablet"), authoredOn="2020-05-05"),
        resource("MedicationRequest", "m5", status="active", intent="proposal", authoredOn="2021-05-12",
                 medicationCodeableConcept=concept("Metformin 500 MG Oral Tablet")),
    ]  # fmt: skip


def us_core():
    """A US Core export, as NDJSON: contained medications, dispenses, documents, goals, a family's history."""
    a1c = concept("HbA1c", (LOINC, "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"))
    glucose = concept(None, (LOINC, "2339-0", "Glucose [Mass/volume] in Blood"))
    potassium = concept(None, (LOINC, "2823-3", "Potassium [Moles/volume] in Serum or Plasma"))
    lost = result("o4", potassium, 0, "", "2021-07-01", dataAbsentReason=concept("specimen haemolysed"))
    del lost["valueQuantity"]
    pressure = result("o5", concept("Blood pressure", (LOINC, "85354-9", None)), 0, "", "2021-05-11")
    del pressure["valueQuantity"]
    pressure["component"] = [
        {"code": coded(name), "valueQuantity": {"value": value, "unit": "mmHg"}}
        for name, value in (("Systolic blood pressure", 152), ("Diastolic blood pressure", 84))
    ]
    target = {"measure": a1c, "detailQuantity": {"value": 7, "comparator": "<", "unit": "%"}}
    mother = {"relationship": concept("mother"), "condition": [{"code": concept("Breast cancer"),
              "onsetAge": {"value": 48, "unit": "a"}}]}  # fmt: skip
    return [
        _us_person(), practitioner("d1", "Ruiz"), *_us_drugs(),
        result("o1", a1c, 8.1, "%", "2021-02-01"), result("o2", a1c, 7.4, "%", "2021-06-15"),
        result("o3", potassium, 4.1, "mmol/L", "2021-06-01"), lost, pressure,
        # Three of one night, in three time zones: 03:30, 04:30, 05:00 UTC.
        result("o6", glucose, 120, "mg/dL", "2021-05-11T05:30:00+02:00"),
        result("o7", glucose, 180, "mg/dL", "2021-05-10T23:30:00-05:00"),
        result("o8", glucose, 95, "mg/dL", "2021-05-11T01:00:00-04:00"),
        stay("e1", "EMER", "2021-05-10T20:00:00-05:00", "2021-05-10T23:50:00-05:00",
             type=[concept("Chest pain visit")]),
        stay("e2", "IMP", "2021-05-11T00:10:00-05:00", "2021-05-13T11:00:00-05:00"),
        stay("e3", "AMB", "2021-06-15", "2021-06-15", type=[concept("Office visit")]),
        condition("c1", "Hypertension", "38341003", onset="2015-03-02"),
        problem("c2", concept("Pneumonia", (SNOMED, "233604007", None)), None, "refuted", recordedDate="2021-05-10"),
        problem("c3", concept("Pulmonary embolism"), "active", "provisional", recordedDate="2021-05-10"),
        resource("FamilyMemberHistory", "f1", status="completed", **mother),
        resource("Goal", "g1", lifecycleStatus="active", description=concept("HbA1c below 7 %"), target=[target],
                 startDate="2021-02-01"),
        resource("CareTeam", "t1", status="active"), resource("Coverage", "v1", status="active"),
        resource("DocumentReference", "x1", status="current", date="2021-05-13T12:00:00-05:00",
                 type=concept("Discharge summary", (LOINC, "18842-5", None)),
                 content=[{"attachment": {"contentType": "text/plain"}}]),
        resource("Procedure", "p9", status="not-done", code=concept("Colonoscopy"), performedDateTime="2021-01-04"),
        resource("ServiceRequest", "p8", status="active", intent="order", code=concept("Colonoscopy"),
                 authoredOn="2021-06-15"),
        resource("AllergyIntolerance", "a1", clinicalStatus=status("active"),
                 code=concept(None, (SNOMED, "409137002", "No known drug allergy"))),
    ]  # fmt: skip


def au():
    """AU Core and the AU Patient Summary: Australian spellings and medicines, indigenous status, brand names."""
    status_of = {"url": "http://hl7.org.au/fhir/StructureDefinition/indigenous-status",
                 "valueCoding": {"code": "4",
                                 "display": "Neither Aboriginal nor Torres Strait Islander origin"}}  # fmt: skip
    haemoglobin = concept("Haemoglobin", (LOINC, "718-7", None))
    a1c = concept("HbA1c", (LOINC, "59261-8", None))
    egfr = result("o4", concept("eGFR"), 90, "mL/min/{1.73_m2}", "2022-08-01")
    egfr["valueQuantity"]["comparator"] = ">"
    wrong = resource("AllergyIntolerance", "a2", code=concept("Latex"),
                     verificationStatus=status("entered-in-error"))  # fmt: skip
    return [
        patient(name=[{"family": "Whitlock", "given": ["Gareth"]}], birthDate="1971-09-30", extension=[status_of]),
        practitioner("d1", "Nguyen"),
        problem("c1", concept("Gastro-oesophageal reflux disease", (SNOMED, "235595009", None)), onsetDateTime="2018"),
        problem("c2", concept("Iron deficiency anaemia", (SNOMED, "87522002", None)), "resolved",
                onsetDateTime="2016-02", abatementDateTime="2016-11"),
        problem("c3", concept("Asthma"), "inactive", recordedDate="2010-01-10"),
        taken("m1", concept("Coversyl 5 mg tablet", (SNOMED, "6532011000036104", "perindopril arginine 5 mg tablet")),
              start="2019-04-01", reasonCode=[concept("Hypertension")], dosage=[{"text": "1 in the morning"}]),
        taken("m2", concept("Panadol Osteo 665 mg modified release tablet"), "not-taken"),
        taken("m3", concept("Salbutamol 100 microgram/actuation inhaler"), "stopped", "2010-01-10", "2012-05-01"),
        resource("AllergyIntolerance", "a1", clinicalStatus=status("active"), code=concept("Amoxicillin"),
                 reaction=[{"manifestation": [concept("Anaphylaxis")], "severity": "severe"}]),
        wrong,
        resource("Immunization", "i1", status="completed", occurrenceDateTime="2021-07-03",
                 vaccineCode=concept("COVID-19 Vaccine AstraZeneca",
                                     ("https://www.humanservices.gov.au/air", "COVAST", None))),
        resource("Immunization", "i2", status="completed", occurrenceDateTime="2022-04-20",
                 vaccineCode=concept("FluQuadri", ("", "FLQDRI", "Influenza vaccine"))),
        resource("Immunization", "i3", status="not-done", occurrenceDateTime="2022-04-20",
                 vaccineCode=concept("Pneumovax 23"), statusReason=concept("Patient objection")),
        result("o1", haemoglobin, 98, "g/L", "2016-02-11"), result("o2", haemoglobin, 141, "g/L", "2022-08-01"),
        result("o3", a1c, 38, "mmol/mol", "2022-08-01"), egfr,
        resource("Procedure", "r1", status="completed", code=concept("Laparoscopic appendicectomy"),
                 performedPeriod={"start": "1999-12-31T23:10:00+11:00", "end": "2000-01-01T00:40:00+11:00"}),
        resource("ServiceRequest", "r2", status="active", intent="order", code=concept("Gastroscopy"),
                 authoredOn="2022-08-02"),
        stay("e1", "EMER", "2012-03-03T02:00:00+11:00", "2012-03-03T09:00:00+11:00"),
        stay("e2", "AMB", "2022-08-01T08:30:00+10:00", "2022-08-01T08:45:00+10:00"),
    ]  # fmt: skip
