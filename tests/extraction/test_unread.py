"""An own schema's record: lines that look like its rows and were not read are said, and hardly any others."""

from enum import StrEnum

import pytest
from pydantic import BaseModel

from extraction.contract import Contract
from extraction.document import open_document
from extraction.document.rows import gather_rows
from extraction.errors import AssayError
from extraction.evidence import ground
from extraction.generate import Generation
from extraction.target import Leaf, Target, dumps
from recipes.lab_report.synthetic import FAMILIES, make_report
from tests.conftest import document_of, record_of


class Line(BaseModel):
    article: str
    quantity: float | None = None
    amount: float


class Invoice(BaseModel):
    number: str | None = None
    total: float | None = None
    lines: list[Line] | None = None


INVOICE = """\
Harbour Tools Ltd                          Invoice  2024-117
12 Quay Street                             Date     03/05/2024
Phone 0171 555 2030

Article                    Quantity        Amount
Claw hammer                2               30.00
Wood screws 4 x 40         10              12.50
Spirit level               1               18.00
Hacksaw blade              4               8.00
Tape measure               2               14.00
Paint brush                5               17.50

Subtotal                                   100.00
VAT 20%                                    20.00
Total                                      120.00

Please pay within 30 days. Goods remain ours until then.
Page 1 of 1
"""
ROWS = [["Claw hammer", 2, 30.0], ["Wood screws 4 x 40", 10, 12.5], ["Spirit level", 1, 18.0],
        ["Hacksaw blade", 4, 8.0], ["Tape measure", 2, 14.0], ["Paint brush", 5, 17.5]]  # fmt: skip


def invoice(rows, *pages, **more):
    """The lines that a record of an invoice is said to lack."""
    lines = [dict(zip(("article", "quantity", "amount"), row, strict=True)) for row in rows]
    answer = Generation(dumps({"number": "2024-117", "total": None, "lines": lines, **more}), "stop")
    contract = Contract.for_schema(Invoice.model_json_schema())
    record = record_of(document_of(*pages or (INVOICE,)), answer, contract=contract)
    return [issue.message.partition(": ")[2].split("  ")[0] for issue in record.issues if issue.code == "row_left_out"]


def test_an_empty_list_beside_six_rows_is_said():
    names = [row[0] for row in ROWS]
    assert invoice([])[:6] == names
    assert invoice([], lines=None)[:6] == names


def test_a_whole_record_lacks_nothing():
    assert invoice(ROWS) == []
    assert invoice(ROWS, total=120.0) == []


@pytest.mark.parametrize("left", [0, 2, 5])
def test_a_row_that_was_left_out_is_said(left):
    assert invoice(ROWS[:left] + ROWS[left + 1 :]) == [ROWS[left][0]]


def test_rows_below_the_last_one_that_was_read_are_said_and_totals_are_not():
    assert invoice(ROWS[:2]) == [row[0] for row in ROWS[2:]]
    two_columns = "\n".join(line[:27] + line[43:] for line in INVOICE.splitlines())
    assert invoice([[name, None, amount] for name, _, amount in ROWS], two_columns) == []
    assert invoice([[name, None, amount] for name, _, amount in ROWS[:4]], two_columns) == [row[0] for row in ROWS[4:]]


def test_rows_of_a_page_that_was_not_read_are_said():
    head, last = INVOICE.split("Hacksaw")
    assert invoice(ROWS[:3], head, f"Hacksaw{last}") == [row[0] for row in ROWS[3:]]


def test_a_page_without_rows_lacks_none():
    letter = INVOICE.split("Article")[0] + INVOICE.split("Paint brush                5               17.50")[1]
    assert invoice([], letter.replace("Subtotal                                   100.00\n", "")) == []
    text = "\n".join(
        f"In the year {1990 + n} the harbour had {n} ships, and the port took {3 * n} tons." for n in range(9)
    )
    assert invoice([], text) == []


def test_rows_of_words():
    class Person(BaseModel):
        name: str
        town: str | None
        role: str | None

    class Staff(BaseModel):
        staff: list[Person]

    people = [("Ada", "London", "lead"), ("Grace", "New York", "admiral"), ("Edsger", "Austin", "teacher"),
              ("Barbara", "Boston", "professor"), ("Donald", "Stanford", "author")]  # fmt: skip
    page = "Name                Town                Role\n\n"
    page += "\n".join(f"{name:20}{town:20}{role}" for name, town, role in people)
    contract = Contract.for_schema(Staff.model_json_schema())

    def missing(read):
        rows = [{"name": name, "town": town, "role": role} for name, town, role in read]
        record = record_of(document_of(page), Generation(dumps({"staff": rows}), "stop"), contract=contract)
        return [issue.message.partition(": ")[2].split()[0] for issue in record.issues]

    assert missing(people) == []
    assert missing([*people[:2], *people[3:]]) == ["Edsger"]
    assert set(missing([])) == {name for name, _, _ in people}


def test_a_schema_without_a_list_of_objects_lacks_no_rows():
    class Sums(BaseModel):
        total: float | None
        notes: list[str]

    contract = Contract.for_schema(Sums.model_json_schema())
    answer = Generation('{"total": null, "notes": []}', "stop")
    assert record_of(document_of(INVOICE), answer, contract=contract).issues == []


def test_heads_and_feet_of_pages_are_no_rows_and_rows_that_differ_are():
    pages = [f"Ledger     17     {n}\nShelf      18     {n}\nDesk       19     {n}\n\nDear Ms Smith" for n in (1, 2)]
    contract = Contract.for_schema(Invoice.model_json_schema())
    answer = Generation('{"number": null, "total": null, "lines": []}', "stop")
    assert record_of(document_of(*pages), answer, contract=contract).issues == []
    pages = ["\n".join(f"Part {n}     {n}     pieces" for n in range(first, first + 5)) for first in (1, 6)]
    assert len(record_of(document_of(*pages), answer, contract=contract).issues) == 10


class Item(BaseModel):
    label: str
    amount: str | None


class Items(BaseModel):
    items: list[Item]


class Report:
    """A synthetic report as a record of an own schema, and what the checks say about parts of it."""

    def __init__(self, family, seed, path):
        report = make_report(family, seed)
        path.write_bytes(report.pdf)
        self.document = open_document(path)
        self.rows = [{"label": row["name"], "amount": row["result"]} for row in report.record["tests"]]
        self.lines = sum(len(gather_rows(page.words)) for page in self.document.pages if page.words)
        values = [(("items", i, key), value) for i, row in enumerate(self.rows) for key, value in row.items() if value]
        self.places = ground([Leaf(path, value, 0, 0) for path, value in values], self.document)
        self.contract = Contract.for_schema(Items.model_json_schema())

    def missed(self, kept):
        data = {"items": [self.rows[i] for i in kept]}
        places = {path: place for path, place in self.places.items() if path[1] in kept}
        return self.contract.rules.missed(self.document, data, places, self.contract)


def test_few_alarms_on_whole_records_and_few_losses_unseen(tmp_path):
    """Over all families of synthetic reports at most one line in a hundred is a false alarm."""
    reports = [Report(family, seed, tmp_path / "a.pdf") for family in sorted(FAMILIES) for seed in range(2)]
    alarms = sum(len(report.missed(range(len(report.rows)))) for report in reports)
    assert alarms <= 0.01 * sum(report.lines for report in reports)
    long = [report for report in reports if len(report.rows) > 5]
    assert len(long) > 12
    assert sum(bool(report.missed([])) for report in long) > 0.75 * len(long)
    without = [[i for i in range(len(report.rows)) if i != 2] for report in long]
    assert sum(bool(report.missed(kept)) for report, kept in zip(long, without, strict=True)) > 0.6 * len(long)


class Part(BaseModel):
    good: str | None = None
    count: str | None = None


GOODS = ["Bolts", "Washers", "Nuts", "Screws", "Hinges", "Nails"]
PLAIN = "\n".join(f"{name:20}{3 + 4 * number}" for number, name in enumerate(GOODS))


@pytest.mark.parametrize("titles", ["", "Good                Count\n"])
@pytest.mark.parametrize(
    "rows",
    [[], [{}], [{"good": None, "count": None}], [{"good": "Bolts", "count": None}], [{"good": "Note"}],
     [{"good": "Good", "count": "Count"}], [{"good": "Bolts", "count": "99"}]],
)  # fmt: skip
def test_a_hollow_row_hides_no_others(titles, rows):
    class Parts(BaseModel):
        parts: list[Part]

    contract = Contract.for_schema(Parts.model_json_schema())
    record = record_of(document_of(titles + PLAIN), Generation(dumps({"parts": rows}), "stop"), contract=contract)
    said = " ".join(issue.message for issue in record.issues if issue.code == "row_left_out")
    assert all(name in said for name in GOODS[1:])


def test_lists_of_alternatives_have_rows():
    class Other(BaseModel):
        good: str
        colour: str

    class Parts(BaseModel):
        parts: list[Part | None] = []

    class Both(BaseModel):
        parts: list[Part | Other] = []

    for schema in (Parts, Both):
        contract = Contract.for_schema(schema.model_json_schema())
        record = record_of(document_of(PLAIN), Generation('{"parts": []}', "stop"), contract=contract)
        assert [issue.code for issue in record.issues] == ["row_left_out"] * 6


def test_words_under_titles_that_are_the_fields_names():
    class Parts(BaseModel):
        parts: list[Part]

    contract = Contract.for_schema(Parts.model_json_schema())
    page = "Good                Count\n" + "\n".join(f"{name:20}none" for name in GOODS[:3])
    record = record_of(document_of(page), Generation('{"parts": []}', "stop"), contract=contract)
    assert [issue.code for issue in record.issues] == ["row_left_out"] * 3


def test_one_row_is_enough_where_nothing_was_read():
    page = """\
Laboratory
Date: 04/11/2021    Page 1
Test        Result      Unit        Range
CRP         0.7         mg/L        <5.0
"""
    assert invoice([], page) == ["CRP"]


def test_a_list_of_objects_with_one_field_has_rows():
    class Names(BaseModel):
        lines: list[dict[str, str]]

    schema = Names.model_json_schema()
    schema["properties"]["lines"]["items"] = {"type": "object", "properties": {"article": {"type": "string"}}}

    def lacking(names):
        answer = Generation(dumps({"lines": [{"article": name} for name in names]}), "stop")
        record = record_of(document_of(INVOICE), answer, contract=Contract.for_schema(schema))
        return [issue.code for issue in record.issues].count("row_left_out")

    assert lacking([]) >= 6 and lacking([ROWS[0][0]]) >= 5 and lacking([row[0] for row in ROWS]) == 0


def test_choices_are_not_looked_for_on_the_page():
    """Neither an optional one, nor one that is its row's value or flag, nor yes and no."""

    class State(StrEnum):
        open = "OPEN"
        paid = "PAID"

    class Item(BaseModel):
        good: str
        state: State | None = None
        paid: bool | None = None

    class Items(BaseModel):
        items: list[Item]

    for roles in (
        {"good": "name"},
        {"good": "name", "state": "value"},
        {"good": "name", "paid": "flag", "state": "flag"},
    ):
        contract = Contract.for_schema(Items.model_json_schema()).model_copy(update={"roles": roles})
        answer = {"items": [{"good": good, "state": "PAID", "paid": True} for good in GOODS]}
        record = record_of(document_of(PLAIN), Generation(dumps(answer), "stop"), contract=contract)
        assert record.data == answer and record.issues == []


def test_a_contract_whose_rows_would_be_empty_is_refused():
    class Parts(BaseModel):
        parts: list[Part]

    with pytest.raises(AssayError, match="carries every field of `parts`"):
        Target(Parts.model_json_schema(), "rows", ("good", "count"))


def test_a_value_is_reached_from_the_end_of_its_list():
    class Parts(BaseModel):
        parts: list[Part]

    contract = Contract.for_schema(Parts.model_json_schema())
    answer = {"parts": [{"good": name, "count": str(3 + 4 * n)} for n, name in enumerate(GOODS)]}
    record = record_of(document_of(PLAIN), Generation(dumps(answer), "stop"), contract=contract)
    last = record["parts"][-1]["good"]
    assert last.value == "Nails" and last.page == 1 and last.path == "/parts/5/good"
    with pytest.raises(IndexError):
        record["parts"][-7]
