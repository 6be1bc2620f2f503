"""Records as tables for spreadsheets, databases and data frames.

`tables` says which rows and columns records have, `writers` how each format is written; `files` has the whole way from
a folder of records to files of tables, `export`.

`findings` reads what a model said of volumes and slides and writes a report a study: `dicom_sr`, `fhir`.
"""
