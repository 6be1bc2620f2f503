"""Invented patients: FHIR R4 bundles as Synthea writes them, for training and testing questions on records.

habits.py draws how a bundle is written, people.py who stands in it; life.py lets things happen (orders.py: what is done
at a visit, body.py: what is measured) and chart.py writes them down as resources; flaws.py spoils some.
"""

from recipes.ehr_qa.synthetic.patients import make_bundle, synthesize, write_patients

__all__ = ["make_bundle", "synthesize", "write_patients"]
