"""Synthetic lab reports: real PDFs with gold records, for training and testing extraction.

A family (families.py) describes a layout as choices with alternatives (style.py). A report's text is drawn
first (content.py, values.py, from the YAML tables that vocabulary.py reads), then laid out by shared code
(table.py, prose.py, furniture.py on sheet.py), which builds the record from what it prints.
"""

from .families import FAMILIES, families
from .report import Report, make_report, write_reports
from .sheet import Cell
from .style import Family

__all__ = ["FAMILIES", "Cell", "Family", "Report", "families", "make_report", "write_reports"]
