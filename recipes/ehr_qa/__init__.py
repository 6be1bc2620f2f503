"""Questions over a patient's FHIR record: records as text, questions with gold answers, grading."""
