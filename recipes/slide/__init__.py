"""Whole slides with a diagnosis in words, or by choice: any table of slides."""
