"""CT and MRI volumes with questions: CT-RATE, and any table of studies."""
