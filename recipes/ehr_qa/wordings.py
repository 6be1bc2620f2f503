"""How each question is asked, and names that a record may not have, for questions whose answer is no or null."""

WORDINGS: dict[str, tuple[str, ...]] = {
    "condition_existence": (
        "Does the record list {name}?",
        "Do the patient's conditions, past ones too, include {name}?",
        "Is there any entry of {name} among the patient's conditions?",
    ),
    "condition_existence.choice": (
        "Which of these conditions does the record list?",
        "Which of these is among the patient's conditions, past or present?",
    ),
    "condition_existence.free": (
        "Which conditions are active according to the record?",
        "List all conditions that the record gives as active.",
        "What are the patient's active conditions?",
    ),
    "condition_hierarchy": (
        "Has the patient ever had any kind of {name}?",
        "Is any of the patient's conditions a form of {name}?",
        "Does the record list a condition that belongs to this group: {name}?",
    ),
    "condition_hierarchy.choice": (
        "To which of these groups does one of the patient's conditions belong?",
        "Which of these groups covers a condition in the record?",
    ),
    "condition_hierarchy.free": (
        "Which conditions in the record are a kind of {name}?",
        "List the patient's conditions that belong to this group: {name}.",
        "Name every condition in the record that is a form of {name}.",
    ),
    "immunization_date": (
        "When did the patient last receive this vaccine: {name}?",
        "On what date was the latest {name} immunization?",
        "What is the date of the most recent immunization with {name}?",
    ),
    "immunization_date.first": (
        "When did the patient first receive this vaccine: {name}?",
        "On what date was the earliest {name} immunization in the record?",
    ),
    "immunization_date.yes_no": (
        "Was {name} given on {date}?",
        "Did the patient receive this vaccine on {date}: {name}?",
    ),
    "current_medication": (
        "Is {name} a current (active) medication?",
        "Is the patient currently on {name}, according to the status in the record?",
        "Does the record give {name} as active?",
    ),
    "current_medication.choice": (
        "Which of these medications is active?",
        "Which of these does the patient currently take, according to the status in the record?",
    ),
    "current_medication.free": (
        "Which medications are active?",
        "List the patient's current medications, those with status active.",
        "What medications does the record give as active?",
    ),
    "medication_existence": (
        "Was {name} ever prescribed?",
        "Does the record contain a prescription of {name}?",
        "Has the patient ever been prescribed {name}, whether or not it is still active?",
    ),
    "medication_existence.choice": (
        "Which of these medications was ever prescribed?",
        "A prescription of which of these is in the record?",
    ),
    "medication_existence.free": (
        "Which medications were ever prescribed, active or not?",
        "List every medication that was prescribed, whatever its status.",
    ),
    "medication_prescriber": (
        "Who prescribed {name} most recently?",
        "What is the name of the last prescriber of {name}?",
        "Which clinician wrote the latest prescription of {name}?",
    ),
    "medication_prescriber.yes_no": (
        "Was the latest prescription of {name} written by {who}?",
        "Did {who} write the most recent prescription of {name}?",
    ),
    "medication_date": (
        "When was {name} last prescribed?",
        "On what date was the latest prescription of {name}?",
        "What is the date of the most recent prescription of {name}?",
    ),
    "medication_date.first": (
        "When was {name} first prescribed?",
        "On what date was the earliest prescription of {name} in the record?",
    ),
    "medication_date.yes_no": (
        "Was {name} prescribed on {date}?",
        "Is there a prescription of {name} dated {date}?",
    ),
    "medication_for_condition": (
        "Which medications does the record say were prescribed for {name}?",
        "What was prescribed with {name} as the stated reason?",
        "List the medications whose prescription names {name} as its reason.",
    ),
    "medication_for_condition.choice": (
        "Which of these medications was prescribed for {name}, as the record says?",
        "The prescription of which of these names {name} as its reason?",
    ),
    "medication_for_condition.reason": (
        "For which condition was {name} prescribed, as the prescription says?",
        "What does the record give as the reason for {name}?",
    ),
    "medication_for_condition.yes_no": (
        "Does the record say that {drug} was prescribed for {name}?",
        "Is {name} the stated reason of a prescription of {drug}?",
    ),
    "observation_value": (
        "What is the latest {name}?",
        "What was the most recent value of {name}?",
        "What does the last measurement of {name} show?",
    ),
    "observation_value.day": (
        "What was the {name} on {date}?",
        "Which value of {name} was measured on {date}?",
    ),
    "observation_value.yes_no": (
        "Is the latest {name} above {limit}?",
        "Was the most recent value of {name} higher than {limit}?",
    ),
    "dependent_observation.before": (
        "What was the latest {name} before {date}?",
        "What did the last measurement of {name} before {date} show?",
    ),
    "dependent_observation.onset": (
        "What was the latest {name} before the day of onset of {other}?",
        "What did the last measurement of {name} earlier than the onset date of {other} show?",
    ),
    "dependent_observation.drug": (
        "What was the {name} on the day when {other} was last prescribed?",
        "Which value of {name} was measured on the date of the latest prescription of {other}?",
    ),
    "dependent_observation.measured": (
        "What was the {name} on the day when {other} was last measured?",
        "Which value of {name} comes from the date of the latest measurement of {other}?",
    ),
    "dependent_observation.yes_no": (
        "Was the latest {name} before {date} above {limit}?",
        "Taking the last measurement of {name} before {date}: was it higher than {limit}?",
    ),
}

FORMAT_HINTS = {
    "yes_no": "Answer yes or no.",
    "choice": "Answer with the letter.",
    "date": "Answer with the date.",
    "number": "Answer with the number and its unit.",
    "set": "Answer with a list.",
    "name": "",
    "text": "",
}

NONE_OF_THESE = "None of these"

VACCINES = (
    "Influenza, seasonal, injectable, preservative free",
    "Td (adult) preservative free",
    "Hep B, adult",
    "Hep A, adult",
    "meningococcal MCV4P",
    "pneumococcal polysaccharide vaccine, 23 valent",
    "Pneumococcal conjugate PCV 13",
    "zoster",
    "HPV, quadrivalent",
    "MMR",
    "varicella",
    "rotavirus, monovalent",
    "DTaP",
    "IPV",
    "Hib (PRP-OMP)",
    "Tdap",
)

DRUGS = (
    "Acetaminophen 325 MG Oral Tablet",
    "Amlodipine 5 MG Oral Tablet",
    "Amoxicillin 250 MG Oral Capsule",
    "Aspirin 81 MG Oral Tablet",
    "Captopril 25 MG Oral Tablet",
    "Clopidogrel 75 MG Oral Tablet",
    "Digoxin 0.125 MG Oral Tablet",
    "Furosemide 40 MG Oral Tablet",
    "Galantamine 4 MG Oral Tablet",
    "Hydrochlorothiazide 25 MG Oral Tablet",
    "Ibuprofen 200 MG Oral Tablet",
    "Loratadine 10 MG Oral Tablet",
    "Metformin hydrochloride 500 MG Oral Tablet",
    "Naproxen sodium 220 MG Oral Tablet",
    "Nitrofurantoin 5 MG/ML Oral Suspension",
    "Penicillin V Potassium 250 MG Oral Tablet",
    "Simvastatin 20 MG Oral Tablet",
    "Verapamil Hydrochloride 40 MG Oral Tablet",
    "Warfarin Sodium 5 MG Oral Tablet",
)

MEASUREMENTS = (
    "Body Height",
    "Body Weight",
    "Creatinine",
    "Hemoglobin A1c/Hemoglobin.total in Blood",
    "Left ventricular Ejection fraction",
    "NT-proBNP",
    "Oral temperature",
    "Prostate specific Ag [Mass/volume] in Serum or Plasma",
    "Albumin [Mass/volume] in Serum or Plasma",
    "Total score [MMSE]",
    "Total Cholesterol",
    "Potassium",
    "Ferritin [Mass/volume] in Serum or Plasma",
    "Troponin I.cardiac [Mass/volume] in Serum or Plasma",
    "Thyrotropin [Units/volume] in Serum or Plasma",
)

PRESCRIBERS = (
    "Dr. Noe Dibbert",
    "Dr. Mariam Gleason",
    "Dr. Arturo Bahringer",
    "Dr. Lucia Okuneva",
    "Dr. Jarrod Mertz",
    "Dr. Benita Stracke",
)
