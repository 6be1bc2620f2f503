"""A small patient's FHIR R4 bundle, written for the tests."""

import json

PATIENT = "p1"


def coded(text, code="", system="http://snomed.info/sct"):
    return {"coding": [{"system": system, "code": code, "display": text}], "text": text}


def patient(identity=PATIENT, **changes):
    return {
        "resourceType": "Patient",
        "id": identity,
        "name": [{"use": "official", "family": "Fonseca", "given": ["Agustín"], "prefix": ["Sr."]}],
        "gender": "male",
        "birthDate": "1950-02-03",
        **changes,
    }


def resource(kind, identity, **fields):
    owner = "patient" if kind in ("Immunization", "AllergyIntolerance") else "subject"
    return {"resourceType": kind, "id": identity, owner: {"reference": f"urn:uuid:{PATIENT}"}, **fields}


def condition(identity, name, code, status="active", onset="1990-05-06", ended=None, **fields):
    fields = {**fields, **({"abatementDateTime": ended} if ended else {})}
    return resource(
        "Condition",
        identity,
        code=coded(name, code),
        clinicalStatus={"coding": [{"code": status}]},
        verificationStatus={"coding": [{"code": "confirmed"}]},
        onsetDateTime=onset,
        **fields,
    )


def drug(identity, name, status="active", day="1990-05-06", who="urn:uuid:d1", reason=None, **fields):
    fields = {**fields, **({"reasonReference": [{"reference": reason}]} if reason else {})}
    return resource(
        "MedicationRequest",
        identity,
        status=status,
        intent="order",
        medicationCodeableConcept=coded(name),
        authoredOn=day,
        requester={"reference": who},
        **fields,
    )


def measured(identity, name, value, unit, day, category="laboratory", **fields):
    return resource(
        "Observation",
        identity,
        status="final",
        category=[coded(category, category)],
        code=coded(name),
        effectiveDateTime=day,
        valueQuantity={"value": value, "unit": unit},
        **fields,
    )


def practitioner(identity="d1", family="Dibbert", npi="77"):
    return {
        "resourceType": "Practitioner",
        "id": identity,
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": npi}],
        "name": [{"family": family, "given": ["Noé"], "prefix": ["Dr."]}],
    }


def everything():
    """Resources of every supported kind, in no order."""
    visit = "1990-05-06T18:38:58+00:00"
    pressure = measured("o1", "Blood Pressure", 0, "", visit, "vital-signs")
    del pressure["valueQuantity"]
    pressure["component"] = [
        {"code": coded("Systolic Blood Pressure"), "valueQuantity": {"value": 121, "unit": "mm[Hg]"}},
        {"code": coded("Diastolic Blood Pressure"), "valueQuantity": {"value": 79.5, "unit": "mm[Hg]"}},
    ]
    encounter = resource(
        "Encounter",
        "e1",
        status="finished",
        type=[coded("Encounter for problem (procedure)")],
        period={"start": visit, "end": "1990-05-06T19:08:58+00:00"},
        participant=[{"individual": {"reference": "urn:uuid:d1"}}],
        serviceProvider={"reference": "urn:uuid:h1"},
        **{"class": {"code": "AMB"}},
    )
    return [
        measured("o3", "Glucose", 91.5, "mg/dL", "1991-05-06"),
        measured("o2", "Glucose", 88, "mg/dL", visit),
        measured("o4", "Body Height", 160.15086612317847, "cm", "1991-05-06", "vital-signs"),
        pressure,
        condition("c2", "Appendicitis", "74400008", "resolved", "1985-01-02", "1985-01-12"),
        condition("c1", "Viral sinusitis (disorder)", "444814009", onset=visit),
        drug("m1", "Ibuprofen 200 MG Oral Tablet", reason="urn:uuid:c1", day=visit),
        drug("m2", "Captopril 25 MG Oral Tablet", "stopped", "1988-03-04", "Practitioner/lost"),
        resource(
            "Immunization",
            "i1",
            status="completed",
            vaccineCode=coded("Td (adult) preservative free", "113"),
            occurrenceDateTime=visit,
        ),
        resource("AllergyIntolerance", "a1", code=coded("Peanut"), clinicalStatus=coded("active", "active")),
        resource("Procedure", "r1", status="completed", code=coded("Appendectomy"), performedDateTime="1985-01-04"),
        resource(
            "DiagnosticReport",
            "x1",
            status="final",
            code=coded("Lipid Panel"),
            effectiveDateTime="1991-05-06",
            result=[{"reference": "urn:uuid:o3"}, {"reference": "urn:uuid:nowhere"}],
        ),
        resource(
            "CarePlan",
            "k1",
            status="active",
            category=[coded("Respiratory therapy")],
            addresses=[{"reference": "urn:uuid:c1"}],
            period={"start": "1990-05-06"},
        ),
        resource("Claim", "z1", status="active"),
        encounter,
        {"resourceType": "Organization", "id": "h1", "name": "St. Anna"},
        practitioner(),
        patient(),
    ]


def write(path, resources, **changes):
    """A bundle's file of these resources."""
    entries = [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries, **changes}
    path.write_text(json.dumps(bundle), encoding="utf-8")
    return path


def write_lines(path, resources):
    """An NDJSON file of these resources."""
    path.write_text("\n".join(json.dumps(one) for one in resources) + "\n", encoding="utf-8")
    return path
