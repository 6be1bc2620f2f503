"""What a record of a laboratory report must pass: a line that looks like a result is in a row, a result is a result."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from extraction.checks import Added, Checks, MissedLine, Path, Sheet
from extraction.document import Document, Lines, Page
from extraction.document.rows import gather_rows
from extraction.document.windows import overlap
from extraction.evidence import PageEvidence, Rest
from extraction.record.record import Issue, SetAside
from extraction.schema import pointer
from extraction.values.dates import moments
from recipes.lab_report.beside import (
    among_prices,
    among_titles,
    beside,
    beside_levels,
    names_elsewhere,
    swapped,
    under_limits,
    under_other_titles,
)
from recipes.lab_report.cards import card_sheets
from recipes.lab_report.columns import day_sheets, with_joined_limits, written_day
from recipes.lab_report.complete import completed, measures
from recipes.lab_report.flags import read_flags
from recipes.lab_report.head import labelled_days, read_head
from recipes.lab_report.head_labels import key as label_key
from recipes.lab_report.head_labels import table
from recipes.lab_report.headings import headings, rests_of_names, titles_read
from recipes.lab_report.interpretation import contradiction, interpret, of_sex
from recipes.lab_report.kinds import misplaced
from recipes.lab_report.left_out import cells_left_out, columns_left_out, lines_left_out, nothing_read
from recipes.lab_report.lines import (
    Block,
    Titles,
    blocks,
    cells_of,
    earlier_columns,
    headings_like,
    is_finding,
    names_columns,
    names_day,
    rows_like_results,
    without_earlier,
)
from recipes.lab_report.names import with_plain_names
from recipes.lab_report.ranges import cut_ranges, read_ranges
from recipes.lab_report.reports import reports

if TYPE_CHECKING:
    from extraction.contract import Contract, Role
    from extraction.score import Pair

_MARK = r"[^\w\s()\[\]%/&]+|[¹²³⁰-⁹ªº]+"
_LEFT_OF_NAME = re.compile(rf"(?:\s*(?:{_MARK}|[(\[]\w{{1,2}}[)\]]|\d[\d.-]*[.)]?))*")
_RIGHT_OF_NAME = re.compile(
    rf"(?:\s*(?:{_MARK}|[(\[](?:[A-Z*#@+-]{{1,2}}|\d[\d.-]*)[)\]]|\d[).]|\d{{3,6}}-\d|(?:H|L|HH|LL|High|Low)\b))*"
)
"""What stands beside names and is none of them: marks of accreditation, signs and numbers of footnotes, codes, flags.
"""
_MARKS = re.compile(r"^[*#°»«†‡§¶^•\s]+|[*#°»«†‡§¶^•:\s¹²³⁰-⁹]+$")
_SAME = 0.5  # share of the smaller of two boxes that is common to both where they are one place


class LabChecks(Checks):
    """The checks of rows that have a `name`, a `result`, a `unit` and a `range`."""

    roles: ClassVar[dict[str, Role]] = {
        "name": "name",
        "result": "value",
        "unit": "unit",
        "range": "range",
        "flag": "flag",
        "panel": "heading",
        "method": "heading",
        "specimen": "heading",
        "sample_collection_time": "time",
        **dict.fromkeys(("patient_name", "patient_id", "sex", "laboratory", "ordered_by", "sample_id"), "heading"),
        "report_status": "heading",
        **dict.fromkeys(("birth_date", "collected", "received", "reported"), "time"),
    }
    scored = ("name", "result", "unit", "specimen", "method", "sample_collection_time")
    """The six fields that the MedGemma 1.5 report scores (arXiv 2604.05081, section 3.2.5)."""
    looks_again = True
    row = "result"

    def reports(self, document: Document) -> list[Document]:
        """The reports of a file, by patients and by the numbers of their pages."""
        return reports(document)

    def shown(self, document: Document) -> Document:
        """The document without its columns of earlier results, which a small model takes for the results.

        Limits in two columns are shown as one range, names of several lines on one (`names.py`).
        """
        return with_plain_names(with_joined_limits(without_earlier(document)))

    def unshown(self, document: Document) -> Iterator[SetAside]:
        """Columns of earlier results, each with its values."""
        for column in earlier_columns(document):
            values = [cell for cell in column.cells if cell.text != column.title]
            if values:
                boxes = [cell.box for cell in values]
                box = min(b[0] for b in boxes), boxes[0][1], max(b[2] for b in boxes), boxes[-1][3]
                texts = [cell.text for cell in values]
                place = PageEvidence(", ".join(texts), page=column.page, box=box)
                yield SetAside("/", texts, f"earlier results, under “{column.title}”", place)

    def sheets(self, document: Document) -> list[Sheet]:
        """The document once for each day of a table that has a column a day, or for each column of cards."""
        sheets = day_sheets(document)
        return sheets if len(sheets) > 1 else card_sheets(document)

    def whole_name(self, name: str, rest: Rest) -> str | None:
        """The whole name; without marks of accreditation, signs of footnotes, flags and codes beside it.

        A bare number behind a name may be part of it ("CA 125") or a footnote's: that cannot be told.
        """
        # What a colon parts from a name is none of it: "Lymphocytes: [L] 16.6 %".
        behind = rest.behind.partition(":")[0].strip()
        before = rest.before.rpartition(":")[2].strip()
        left, right = _LEFT_OF_NAME.fullmatch(before), _RIGHT_OF_NAME.fullmatch(behind)
        if right and behind.startswith("+") and f"{name}+" in rest.text:
            right = None  # an ion
        if left and right:
            return name
        if re.fullmatch(r"\d+\W*", behind):
            return None
        text = rest.text[len(rest.before) :].lstrip() if left else rest.text[len(rest.before) - len(before) :]
        text = text[: len(text) - len(rest.behind) + (0 if right else len(behind))]
        return _MARKS.sub("", text.strip())

    def refuted(
        self, document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence]
    ) -> Collection[Path]:
        """Panels that are the laboratory's name or a column's title, or the name of a result where no other line could
        be one, or others than lines say; and times that stand beside the label of another day, where all do and one day
        has the label of collection, or all days of the document have labels, and none that one; and ranges that go on
        below.
        """
        names = [place for path, place in evidence.items() if path[-1] == "name"]
        panels = [path for path, place in evidence.items() if path[-1] == "panel"]
        false = [path for path in panels if any(_covers(name, evidence[path]) for name in names)]
        if len(false) < len(panels) or any(headings_like(with_plain_names(document), names)):
            false = []
        times = [path for path in evidence if path[-1] == "sample_collection_time"]
        other = [path for path, _, _ in _of_another_day(document, evidence)]
        lines = self._headings(document, evidence)
        laboratory = read_head(document, evidence).get("laboratory")
        told = ((path, lines[path[:-1]].text) for path in panels if path[:-1] in lines)
        false += [path for path, text in told if data[str(path[0])][path[1]]["panel"] != text]
        false += titles_read(document, evidence)
        false += [path for path in panels if laboratory and _covers(laboratory, evidence[path])]
        known = len(other) == len(times) and (_labelled_day(document) or _all_labelled(document))
        return [*false, *(other if known else ()), *cut_ranges(document, data, evidence)]

    def heads(self, lines: Lines) -> list[int]:
        """Lines that look like the titles of a table of results."""
        return [
            number for number, (_, line) in enumerate(lines.lines) if names_columns(line.text) or names_day(line.text)
        ]

    def plain_rows(self, document: Document) -> list[MissedLine]:
        """Lines that look like results by the shapes of their cells."""
        return rows_like_results(document)

    def missed(
        self, document: Document, data: Any, evidence: Mapping[Path, PageEvidence], contract: Contract
    ) -> list[MissedLine]:
        """Lines that look like results although no row's own name and value in `evidence` were read from them.

        A row tells of the line that its value stands on, and of no other: not of a table beside it at the same height,
        nor of the line that gave it a heading or a time. A row without a value tells of the line of its name.
        """
        return lines_left_out(document, data, evidence, contract)

    def issues(
        self, document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence], contract: Contract
    ) -> Iterator[Issue]:
        """Values in another column's place, flags that contradict their range, rows without a result, results under a
        title such as "Previous result", what of a row was left out.
        """
        for key, rows in data.items():
            for number, row in enumerate(rows if isinstance(rows, list) else ()):
                if not isinstance(row, dict):
                    continue
                for name, message in misplaced(row):
                    yield Issue("misplaced", f"{message}.", pointer((key, number, name)))
                if said := contradiction(row):
                    yield Issue("contradicts", f"Beside “{row.get('name')}” {said}.", pointer((key, number)))
                if is_finding(str(row.get("name") or "")):
                    message = f"“{row['name']}” is a finding, as legends of ranges name them, and no result's name."
                    yield Issue("misplaced", message, pointer((key, number, "name")))
                if row.get("name") and row.get("result", "") is None:
                    yield Issue("no_result", f"“{row['name']}” has no result.", pointer((key, number)))
        titles = Titles(document, two_lines=True)
        names = [place for path, place in evidence.items() if path[-1] == "name"]
        panels = [place for path, place in evidence.items() if path[-1] == "panel"]
        for path, place in evidence.items():
            named = path[-1] == "panel" and next((name for name in names if _covers(name, place)), None)
            if named:
                yield Issue("misplaced", f"“{place.text}” is the name of a result, not a heading.", pointer(path))
            if path[-1] == "method" and any(_is_place(place, one) for one in panels):
                yield Issue("misplaced", f"“{place.text}” is a heading of results.", pointer(path))
            if path[-1] == "result" and (title := titles.earlier(place.page, place.box)):
                value: Any = data
                for step in path:
                    value = value[step]
                yield Issue("misplaced", f"“{value}” stands under “{title}”.", pointer(path))

        yield from beside(document, evidence)
        yield from under_limits(document, evidence)
        yield from among_titles(document, evidence)
        yield from among_prices(document, evidence)
        yield from beside_levels(document, evidence)
        yield from swapped(document, evidence)
        yield from names_elsewhere(document, evidence)
        yield from under_other_titles(document, evidence)
        yield from rests_of_names(document, evidence)
        yield from nothing_read(document, evidence)
        yield from columns_left_out(document, evidence, titles)
        yield from cells_left_out(document, data, evidence, contract)
        own = blocks(document)
        yield from _across(own, evidence)
        yield from _undated(own, evidence, contract)
        for path, place, label in _of_another_day(document, evidence):
            message = f"“{place.text}” stands beside “{label}”, which is not when the sample was taken."
            yield Issue("misplaced", message, pointer(path))

    def filled(
        self, document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence]
    ) -> Mapping[Path, tuple[str, PageEvidence]]:
        """The fields of the report's head, read by their labels, and the flag of each result; units, ranges and
        panels that the model did not read, or not as printed; the labelled day of collection for every row, where no
        row has one that is printed.
        """
        head: dict[Path, PageEvidence] = {(field,): place for field, place in read_head(document, evidence).items()}
        ranges = {**measures(without_earlier(document), data, evidence), **read_ranges(document, data, evidence)}
        found = {**head, **read_flags(document, data, evidence), **ranges}
        panels = {
            (*row, "panel"): place
            for row, place in self._headings(document, evidence).items()
            if row[0] in data and (*row, "panel") not in evidence
        }
        told = {path: (place.text, place) for path, place in (found | panels).items()}
        return told | _collected(document, data, evidence)

    def _headings(self, document: Document, evidence: Mapping[Path, PageEvidence]) -> dict[Path, PageEvidence]:
        """The headings of rows, by the paths of these, where lines tell them."""
        return headings(self.shown(document), evidence)

    def completed(
        self, document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence], contract: Contract
    ) -> list[Added]:
        """Results on lines that look like one and are in no row, read by the kinds of their cells."""
        shown = self.shown(document)
        return completed(shown, evidence, lines_left_out(shown, data, evidence, contract))

    def derived(self, data: dict[str, Any]) -> dict[str, str]:
        """What each result means by its own range, or the part of it for the patient's sex, as `interpretation` of its
        row (see `interpret`).
        """
        sex = str(data.get("sex") or "")
        rows = (
            (key, number, row)
            for key, rows in data.items()
            if isinstance(rows, list)
            for number, row in enumerate(rows)
        )
        means = (
            (
                pointer((key, number, "interpretation")),
                interpret({**row, "range": of_sex(str(row.get("range") or ""), sex)}),
            )
            for key, number, row in rows
            if isinstance(row, dict)
        )
        return {path: meaning for path, meaning in means if meaning}

    def read_labels(self, content: Any) -> Pair:
        """The truth in a label file of a report."""
        from recipes.lab_report.labels import read_labels  # numpy and scipy come with it

        return read_labels(content)


_ENDS = {
    "panel": ("patient",),  # a specimen may stand below the panel that it is of
    "specimen": ("patient", "specimen"),
    "sample_collection_time": ("patient", "date"),
}
"""What is carried to the rows below it, and which new blocks end that."""


def _across(blocks: list[Block], evidence: Mapping[Path, PageEvidence]) -> Iterator[Issue]:
    """An issue for each value that stands above a new patient, specimen or day, and is told of a row below it.

    A label that says what one of its kind said before, as each page's head does, begins nothing new; nor does one on
    either side of both, which is of a table beside.
    """
    for path, place in evidence.items():
        row = evidence.get((*path[:-1], "name"))
        if row is None or path[-1] not in _ENDS:
            continue
        above = [block for block in blocks if not block.under(place.page, place.box)]
        known, kinds = {block.text for block in above}, {block.kind for block in above}
        left, right = min(place.box[0], row.box[0]), row.box[2]
        for block in blocks:
            said = block.text
            ends = block.kind in _ENDS[str(path[-1])]
            if path[-1] == "sample_collection_time" and (day := next(iter(moments(said)), None)):
                ends, said = True, said[day.start : day.end]  # "Sample 2, collected 2024-11-18 10:05"
            same = place.text in said if path[-1] != "sample_collection_time" else place.text == said
            new = ends and block.text not in known and not same
            # The first patient's name may stand below what is said of the sample.
            new = new and (block.kind != "patient" or "patient" in kinds)
            between = block.under(place.page, place.box) and not block.under(row.page, row.box)
            if new and between and block.box[0] <= right and block.box[2] >= left:
                message = f"“{place.text}” stands above “{block.text}”, with which another {block.kind} begins."
                yield Issue("misplaced", message, pointer(path))
                break


def _undated(blocks: list[Block], evidence: Mapping[Path, PageEvidence], contract: Contract) -> Iterator[Issue]:
    """An issue where rows were read without a day of collection that is printed with its label."""
    times = {name for name in ("sample_collection_time", "collected") if name in contract.roles}
    if not times or not any(path[-1] == "name" for path in evidence) or any(path[-1] in times for path in evidence):
        return
    for block in blocks:
        if block.kind == "date":
            yield Issue("value_left_out", f"The day of collection, {block.text}, is in no row.", page=block.page)
            return


_OTHER_DAYS = {"birth_date", "received", "reported", "other"}


def _of_another_day(
    document: Document, evidence: Mapping[Path, PageEvidence]
) -> Iterator[tuple[Path, PageEvidence, str]]:
    """Each time of collection that stands beside the label of another day alone, as that of printing, and the label."""
    times = {path: place for path, place in evidence.items() if path[-1] == "sample_collection_time"}
    if not times:
        return
    # "Date" alone may be the sample's.
    others = [
        (label, day)
        for label, fields, day in labelled_days(document)
        if fields & _OTHER_DAYS and "collected" not in fields and label_key(label) not in table()["when"]
    ]
    said = Counter(moment.day for page in document.pages for row in _texts(page) for moment in moments(row))
    for path, place in times.items():
        for label, day in others:
            if day.page != place.page or overlap(day.box, place.box) <= _SAME:
                continue
            its = {moment.day for moment in moments(day.text)}
            if all(said[one] <= sum(one in {m.day for m in moments(other.text)} for _, other in others) for one in its):
                yield path, place, label
            break


def _collected(
    document: Document, data: dict[str, Any], evidence: Mapping[Path, PageEvidence]
) -> dict[Path, tuple[str, PageEvidence]]:
    """The one day of collection that a document has a label for, as the time of each row; nothing where rows have
    printed times, or where labels or orders of day and month leave two days.
    """
    day = None if any(path[-1] == "sample_collection_time" for path in evidence) else _labelled_day(document)
    if day is None:
        return {}
    rows = ((key, number) for key, rows in data.items() if isinstance(rows, list) for number in range(len(rows)))
    return {(*row, "sample_collection_time"): day for row in rows}


def _labelled_day(document: Document) -> tuple[str, PageEvidence] | None:
    """The one day that a document has a label of collection for, as it is written, and where."""
    days = [day for _, fields, day in labelled_days(document) if fields == {"collected"}]
    said = {written_day(day.text, document) for day in days}
    return (str(said.pop()), days[0]) if len(said) == 1 and None not in said else None


def _all_labelled(document: Document) -> bool:
    """Whether every day that is printed stands beside a label, or a sign of birth."""
    days = [day for _, _, day in labelled_days(document)]
    for page in document.pages:
        for row in gather_rows(page.words) if page.words else ():
            for cell in cells_of(page, row):
                told = any(day.page == page.number and overlap(day.box, cell.box) > 0 for day in days)
                if moments(cell.text) and not told and cell.text[0] not in "*°":
                    return False
    return True


def _texts(page: Page) -> Iterator[str]:
    for row in gather_rows(page.words) if page.words else ():
        for cell in cells_of(page, row):
            yield cell.text


def _is_place(one: PageEvidence, other: PageEvidence) -> bool:
    """Whether two places are one and the same text."""
    return one.page == other.page and one.text == other.text and overlap(one.box, other.box) > _SAME


def _covers(name: PageEvidence, place: PageEvidence) -> bool:
    """Whether a place is within the cell of a name."""
    return name.page == place.page and overlap(name.rest.box if name.rest else name.box, place.box) > _SAME


CHECKS = LabChecks()
