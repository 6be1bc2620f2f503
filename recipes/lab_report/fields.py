"""The fields of a lab report's record."""

FIELDS = ("name", "result", "unit", "range", "panel", "method", "specimen", "sample_collection_time")
"""The fields of a test in MedGemma 1.5's lab-report prompt."""

HEAD = (
    "patient_name",
    "patient_id",
    "birth_date",
    "sex",
    "laboratory",
    "ordered_by",
    "sample_id",
    "collected",
    "received",
    "reported",
    "report_status",
)
"""What a report says once, each as printed: whose it is, of whom, of which sample, its dates and its state."""

ROW = ("name", "result", "unit", "range", "flag", "panel", "method", "specimen", "sample_collection_time")
"""The fields of a test: those, and its flag as printed."""
