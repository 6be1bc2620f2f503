"""A small is-a table of the conditions that Synthea makes, by SNOMED CT code: made by hand, far from complete.

A group stands only where it certainly holds; `AKIN` says where it holds of the past, or perhaps, so that a question
about the group would have no certain answer.
"""

from __future__ import annotations

from collections.abc import Iterable

# group -> the wider groups it is a kind of
GROUPS: dict[str, tuple[str, ...]] = {
    "respiratory disorder": (),
    "upper respiratory disorder": ("respiratory disorder",),
    "sinusitis": ("upper respiratory disorder",),
    "pharyngitis": ("upper respiratory disorder",),
    "allergic rhinitis": ("upper respiratory disorder", "allergic disorder"),
    "lower respiratory disorder": ("respiratory disorder",),
    "chronic obstructive lung disease": ("lower respiratory disorder",),
    "allergic disorder": (),
    "cardiovascular disorder": (),
    "heart disease": ("cardiovascular disorder",),
    "cerebrovascular disease": ("cardiovascular disorder",),
    "neurological disorder": (),
    "dementia": ("neurological disorder",),
    "mental disorder": (),
    "neoplasm": (),
    "neoplasm of the lung": ("neoplasm",),
    "neoplasm of the colon": ("neoplasm",),
    "disorder of the digestive tract": (),
    "metabolic disorder": (),
    "kidney disease": (),
    "urinary tract infection": (),
    "injury": (),
    "sprain": ("injury",),
    "fracture": ("injury",),
    "laceration": ("injury",),
    "burn": ("injury",),
    "brain injury": ("injury",),
    "arthritis": (),
    "skin disorder": (),
}

# code: (name, groups it is a kind of)
CONDITIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "444814009": ("Viral sinusitis", ("sinusitis",)),
    "75498004": ("Acute bacterial sinusitis", ("sinusitis",)),
    "40055000": ("Chronic sinusitis", ("sinusitis",)),
    "195662009": ("Acute viral pharyngitis", ("pharyngitis",)),
    "43878008": ("Streptococcal sore throat", ("pharyngitis",)),
    "446096008": ("Perennial allergic rhinitis", ("allergic rhinitis",)),
    "367498001": ("Seasonal allergic rhinitis", ("allergic rhinitis",)),
    "10509002": ("Acute bronchitis", ("lower respiratory disorder",)),
    "195967001": ("Asthma", ("lower respiratory disorder",)),
    "233678006": ("Childhood asthma", ("lower respiratory disorder",)),
    "233604007": ("Pneumonia", ("lower respiratory disorder",)),
    "185086009": ("Chronic obstructive bronchitis", ("chronic obstructive lung disease",)),
    "87433001": ("Pulmonary emphysema", ("chronic obstructive lung disease",)),
    "53741008": ("Coronary Heart Disease", ("heart disease",)),
    "22298006": ("Myocardial Infarction", ("heart disease",)),
    "88805009": ("Chronic congestive heart failure", ("heart disease",)),
    "49436004": ("Atrial Fibrillation", ("heart disease",)),
    "59621000": ("Hypertension", ("cardiovascular disorder",)),
    "38341003": ("Hypertension", ("cardiovascular disorder",)),
    "230690007": ("Stroke", ("cerebrovascular disease", "neurological disorder")),
    "128613002": ("Seizure disorder", ("neurological disorder",)),
    "84757009": ("Epilepsy", ("neurological disorder",)),
    "26929004": ("Alzheimer's disease", ("dementia",)),
    "230265002": ("Familial Alzheimer's disease of early onset", ("dementia",)),
    "370143000": ("Major depression disorder", ("mental disorder",)),
    "47505003": ("Posttraumatic stress disorder", ("mental disorder",)),
    "254837009": ("Malignant neoplasm of breast", ("neoplasm",)),
    "254637007": ("Non-small cell lung cancer", ("neoplasm of the lung",)),
    "424132000": ("Non-small cell carcinoma of lung, TNM stage 1", ("neoplasm of the lung",)),
    "254632001": ("Small cell carcinoma of lung", ("neoplasm of the lung",)),
    "363406005": ("Malignant tumor of colon", ("neoplasm of the colon", "disorder of the digestive tract")),
    "126906006": ("Neoplasm of prostate", ("neoplasm",)),
    "92691004": ("Carcinoma in situ of prostate", ("neoplasm",)),
    "74400008": ("Appendicitis", ("disorder of the digestive tract",)),
    "68496003": ("Polyp of colon", ("disorder of the digestive tract",)),
    "713197008": ("Recurrent rectal polyp", ("disorder of the digestive tract",)),
    "235595009": ("Gastroesophageal reflux disease", ("disorder of the digestive tract",)),
    "44054006": ("Diabetes", ("metabolic disorder",)),
    "15777000": ("Prediabetes", ()),
    "55822004": ("Hyperlipidemia", ("metabolic disorder",)),
    "302870006": ("Hypertriglyceridemia", ("metabolic disorder",)),
    "237602007": ("Metabolic syndrome X", ("metabolic disorder",)),
    "127013003": ("Diabetic renal disease", ("kidney disease",)),
    "431855005": ("Chronic kidney disease stage 1", ("kidney disease",)),
    "431856006": ("Chronic kidney disease stage 2", ("kidney disease",)),
    "433144002": ("Chronic kidney disease stage 3", ("kidney disease",)),
    "38822007": ("Cystitis", ()),
    "301011002": ("Escherichia coli urinary tract infection", ("urinary tract infection",)),
    "197927001": ("Recurrent urinary tract infection", ("urinary tract infection",)),
    "44465007": ("Sprain of ankle", ("sprain",)),
    "70704007": ("Sprain of wrist", ("sprain",)),
    "30832001": ("Rupture of patellar tendon", ("injury",)),
    "239720000": ("Tear of meniscus of knee", ("injury",)),
    "444470001": ("Injury of anterior cruciate ligament", ("injury",)),
    "39848009": ("Whiplash injury to neck", ("injury",)),
    "65966004": ("Fracture of forearm", ("fracture",)),
    "16114001": ("Fracture of ankle", ("fracture",)),
    "58150001": ("Fracture of clavicle", ("fracture",)),
    "33737001": ("Fracture of rib", ("fracture",)),
    "359817006": ("Closed fracture of hip", ("fracture",)),
    "284549007": ("Laceration of hand", ("laceration",)),
    "283371005": ("Laceration of forearm", ("laceration",)),
    "284551006": ("Laceration of foot", ("laceration",)),
    "283385000": ("Laceration of thigh", ("laceration",)),
    "403190006": ("First degree burn", ("burn",)),
    "403191005": ("Second degree burn", ("burn",)),
    "62106007": ("Concussion with no loss of consciousness", ("brain injury",)),
    "62564004": ("Concussion with loss of consciousness", ("brain injury",)),
    "239873007": ("Osteoarthritis of knee", ("arthritis",)),
    "239872002": ("Osteoarthritis of hip", ("arthritis",)),
    "69896004": ("Rheumatoid arthritis", ("arthritis",)),
    "90560007": ("Gout", ()),
    "24079001": ("Atopic dermatitis", ("skin disorder",)),
    "40275004": ("Contact dermatitis", ("skin disorder",)),
    "82423001": ("Chronic pain", ()),
    "162864005": ("Body mass index 30+ - obesity", ()),
    "271737000": ("Anemia", ()),
    "64859006": ("Osteoporosis", ()),
    "449868002": ("Smokes tobacco daily", ()),
    "19169002": ("Miscarriage in first trimester", ()),
    "72892002": ("Normal pregnancy", ()),
    "428251008": ("History of appendectomy", ()),
    "703151001": ("History of single seizure", ()),
    "399211009": ("History of myocardial infarction", ()),
    "160904001": ("Part-time employment", ()),
    "160903007": ("Full-time employment", ()),
    "73595000": ("Stress", ()),
    "423315002": ("Limited social contact", ()),
}

# code: groups that may hold of it, or held once
AKIN: dict[str, tuple[str, ...]] = {
    "15777000": ("metabolic disorder",),
    "38822007": ("urinary tract infection",),
    "90560007": ("arthritis", "metabolic disorder"),
    "162864005": ("metabolic disorder",),
    "64859006": ("metabolic disorder",),
    "271737000": ("metabolic disorder",),
    "44054006": ("kidney disease",),
    "127013003": ("metabolic disorder",),
    "254837009": ("skin disorder",),
    "363406005": ("metabolic disorder",),
    "68496003": ("neoplasm", "neoplasm of the colon"),
    "713197008": ("neoplasm", "neoplasm of the colon"),
    "185086009": ("allergic disorder",),
    "195967001": ("allergic disorder", "chronic obstructive lung disease"),
    "233678006": ("allergic disorder", "chronic obstructive lung disease"),
    "24079001": ("allergic disorder",),
    "40275004": ("allergic disorder",),
    "59621000": ("heart disease",),
    "38341003": ("heart disease",),
    "230690007": ("brain injury",),
    "26929004": ("mental disorder",),
    "230265002": ("mental disorder",),
    "128613002": ("brain injury",),
    "403190006": ("skin disorder",),
    "403191005": ("skin disorder",),
    "284549007": ("skin disorder",),
    "283371005": ("skin disorder",),
    "284551006": ("skin disorder",),
    "283385000": ("skin disorder",),
    "62106007": ("neurological disorder",),
    "62564004": ("neurological disorder",),
    "82423001": ("neurological disorder", "arthritis"),
    "73595000": ("mental disorder",),
    "449868002": ("mental disorder",),
    "428251008": ("disorder of the digestive tract",),
    "703151001": ("neurological disorder",),
    "399211009": ("heart disease",),
}


def wider(groups: Iterable[str]) -> set[str]:
    """The groups and all that they are a kind of."""
    found: set[str] = set()
    waiting = list(groups)
    while waiting:
        group = waiting.pop()
        if group not in found:
            found.add(group)
            waiting += GROUPS[group]
    return found


def groups_of(codes: Iterable[str]) -> set[str] | None:
    """All groups a condition certainly is a kind of; None where the table does not know it."""
    for code in codes:
        if code in CONDITIONS:
            return wider(CONDITIONS[code][1])
    return None


def akin(codes: Iterable[str]) -> set[str]:
    """The groups that a condition may belong to."""
    return wider(group for code in codes for group in AKIN.get(code, ()))
