"""The pages under docs/: long ones begin with their contents, and every link within a page leads to a heading."""

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))


def anchor(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_contents_lead_to_every_section(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    assert {*re.findall(r"\]\(#([^)]+)\)", text)} <= headings
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    if len(sections) > 3:
        contents = text.partition("\n## ")[0]
        assert re.findall(r"^- \[(.+)\]\(#", contents, re.MULTILINE) == sections
