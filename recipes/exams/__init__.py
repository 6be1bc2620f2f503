"""Examination questions: MedQA, MedMCQA, PubMedQA, MMLU, MedXpertQA, AfriMed-QA, and any table of the kind."""
