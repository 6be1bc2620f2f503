"""Records as tables for spreadsheets, databases and data frames.

`tables` says which rows and columns records have, `writers` how each format is written; `files` has the whole way from
a folder of records to files of tables, `export`.
"""
