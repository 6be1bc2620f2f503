"""Questions on discharge notes: EHRNoteQA, and any table with a text and options."""
