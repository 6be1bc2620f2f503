"""Tables of records: every row and document is there, text is what was printed, in each format, for any schema."""

import csv
import json
import re
import sqlite3
import zipfile
from xml.etree import ElementTree

import pytest
from pyarrow import parquet

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.export.files import export
from extraction.export.writers import Format
from tests.conftest import command

TEXT = {"type": ["string", "null"]}
ORDERS = {
    "type": "object",
    "properties": {
        "customer": {"type": "object", "properties": {"name": TEXT, "born": TEXT}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "payments": {"anyOf": [{"type": "array", "items": {"type": "object", "properties": {"way": TEXT}}},
                               {"type": "null"}]},
    },
    "$defs": {"line": {"type": "object", "properties": {
        "item": TEXT, "weight": TEXT, "allowed": TEXT, "on": TEXT, "status": TEXT, "amount": {"type": "number"},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}}}},
        "part": {"type": "object", "properties": {
            "code": TEXT, "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}}}}},
}  # fmt: skip
ROLES = {"item": "name", "weight": "value", "allowed": "range", "on": "time"}
TRAPS = ("=1+1", "+1", "-5", "@SUM(A1)", "001", "1,5", "1-5", "3E5", "", "two\nlines", "a;b,\"c'", "µg ≤ 中")


def write_record(folder, name, data, issues=(), evidence=None, status=None, **more):
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    status = status or ("partial" if issues else "ok")
    content = {"source": f"{path.stem}.pdf", "status": status, "issues": list(issues), "data": data}
    content |= {"views": [] if data is None else ["text"], "evidence": evidence or {}, **more}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def place(page, box, confidence):
    return {"confidence": confidence, "page": page, "box": box, "text": "x"}


@pytest.fixture
def orders(tmp_path):
    folder = tmp_path / "records"
    line = {"item": "Nut", "weight": "<1,5 kg", "allowed": "1 - 2", "on": "17.03.2024", "status": "new", "amount": 1.5}
    lines = [
        {**line, "parts": [{"code": "001"}, {"code": "002"}]},
        {"item": "Bolt", "weight": "1,000", "allowed": None, "on": "03/04/2024", "status": None, "amount": 2,
         "parts": []},
    ]  # fmt: skip
    write_record(
        folder, "b", {"customer": {"name": "Ann", "born": None}, "tags": ["x", "y"], "lines": lines, "payments": None},
        issues=[{"code": "not_found", "message": "“Nut” is not there.", "path": "/lines/0/item"},
                {"code": "no_result", "message": "Empty row.", "path": "/lines/1"},
                {"code": "row_left_out", "message": "A line is in no row.", "page": 3}],
        evidence={"/lines/0/item": place(2, [10, 20, 30, 40], 0.9), "/lines/0/weight": place(2, [50, 18, 70, 38], 0.4),
                  "/lines/0/on": place(1, [0, 0, 5, 5], None), "/lines/1/item": place(2, [10, 60, 30, 70], None),
                  "/lines/0/parts/1/code": place(2, [1, 2, 3, 4], 0.1)},
    )  # fmt: skip
    write_record(folder, "a", {"customer": {"name": "Bob"}, "lines": [], "payments": [{"way": "cash"}]})
    write_record(folder, "sub/b", None, [{"code": "unreadable", "message": "The file is empty."}], status="failed")
    Contract.for_schema(ORDERS).model_copy(update={"roles": ROLES}).save(folder)
    (folder / "_manifest").mkdir()
    (folder / "_manifest" / "x.json").write_text("{}")
    return folder


def read(to, out):
    """All tables of an export by name, rows as dicts; what has no types reads as text."""
    beside = [path for path in out.parent.glob(f"{out.stem}.*{out.suffix}") if path != out]
    others = {path.stem.removeprefix(f"{out.stem}."): path for path in beside}
    if to == "csv":
        return {name: list(csv.DictReader(path.open(encoding="utf-8", newline=""))) for name, path in
                {"": out, **others}.items()}  # fmt: skip
    if to == "parquet":
        return {name: parquet.read_table(path).to_pylist() for name, path in {"": out, **others}.items()}
    if to == "sqlite":
        database = sqlite3.connect(out)
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
        cursors = {name: database.execute(f'SELECT * FROM "{name}"') for name in names}
        return {name: [dict(zip([column[0] for column in cursor.description], row, strict=True)) for row in cursor]
                for name, cursor in cursors.items()}  # fmt: skip
    return read_xlsx(out)


def read_xlsx(out):
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    tables = {}
    with zipfile.ZipFile(out) as book:
        sheets = ElementTree.fromstring(book.read("xl/workbook.xml")).iter(f"{space}sheet")
        for number, sheet in enumerate(sheets, 1):
            rows = []
            for row in ElementTree.fromstring(book.read(f"xl/worksheets/sheet{number}.xml")).iter(f"{space}row"):
                assert row.find(f".//{space}f") is None
                cells = {}
                for cell in row:
                    text = cell.find(f"{space}is/{space}t")
                    value = text.text or "" if text is not None else float(cell.find(f"{space}v").text)
                    cells[re.sub(r"\d", "", cell.get("r"))] = value
                rows.append(cells)
            tables[sheet.get("name")] = [
                {name: row.get(column) for column, name in rows[0].items()} for row in rows[1:]
            ]  # fmt: skip
    return tables


def test_lists_become_tables_with_what_stands_outside_them(orders, tmp_path):
    done = export(orders, Format.SQLITE, tmp_path / "new" / "t.sqlite")
    assert (done.records, done.failed, done.rows, done.unread) == (3, 1, 5, {})
    tables = read("sqlite", tmp_path / "new" / "t.sqlite")
    assert list(tables) == ["lines", "lines.parts", "payments", "documents"]
    nut, bolt = tables["lines"]
    assert list(nut) == [
        "document", "customer.name", "customer.born", "tags", "item", "weight", "weight_comparator", "weight_number",
        "weight_unit", "allowed", "allowed_low", "allowed_high", "on", "on_date", "status_2", "amount",
        "page", "x0", "y0", "x1", "y1", "confidence", "status", "issues",
    ]  # fmt: skip
    assert (nut["document"], nut["customer.name"], nut["customer.born"], nut["tags"]) == (
        "b.pdf", "Ann", None, '["x", "y"]',
    )  # fmt: skip
    assert (nut["weight"], nut["weight_comparator"], nut["weight_number"], nut["weight_unit"]) == (
        "<1,5 kg", "<", 1.5, "kg",
    )  # fmt: skip
    assert (nut["allowed_low"], nut["allowed_high"], nut["on_date"]) == (1.0, 2.0, "2024-03-17")
    assert (nut["status_2"], nut["amount"], nut["status"]) == ("new", "1.5", "partial")
    assert [bolt[name] for name in ("weight", "weight_number", "on", "on_date")] == ["1,000", None, "03/04/2024", None]
    # Two values on page 2; the time of page 1 holds for many rows, the part has a row of its own.
    assert [nut[name] for name in ("page", "x0", "y0", "x1", "y1", "confidence")] == [2, 10, 18, 70, 40, 0.4]
    assert nut["issues"] == "item “Nut” is not there." and bolt["issues"] == "Empty row." and bolt["confidence"] is None
    assert [(part["document"], part["customer.name"], part["lines.item"], part["code"], part["confidence"])
            for part in tables["lines.parts"]] == [("b.pdf", "Ann", "Nut", "001", None),
                                                   ("b.pdf", "Ann", "Nut", "002", 0.1)]  # fmt: skip
    assert [(row["document"], row["customer.name"], row["way"]) for row in tables["payments"]] == [
        ("a.pdf", "Bob", "cash")
    ]


def test_no_document_is_lost(orders, tmp_path):
    export(orders, Format.SQLITE, tmp_path / "t.sqlite")
    documents = read("sqlite", tmp_path / "t.sqlite")["documents"]
    assert [(row["document"], row["status"], row["rows"], row["views"], row["customer.name"]) for row in documents] == [
        ("a.pdf", "ok", 1, "text", "Bob"), ("b.pdf", "partial", 4, "text", "Ann"),
        ("sub/b.pdf", "failed", 0, None, None),
    ]  # fmt: skip
    assert documents[2]["issues"] == "The file is empty."
    assert documents[1]["issues"].split(" | ") == [
        "lines/0/item “Nut” is not there.", "lines/1 Empty row.", "page 3: A line is in no row.",
    ]  # fmt: skip


@pytest.mark.parametrize("to", Format)
def test_text_comes_out_as_it_was_printed(tmp_path, to):
    rows = [{"item": f"row {number}", "weight": text} for number, text in enumerate(TRAPS)]
    write_record(tmp_path / "records", "a", {"lines": rows})
    out = tmp_path / f"t.{to}"
    done = export(tmp_path / "records", to, out)
    assert done.files[0] == out and all(file.exists() for file in done.files)
    tables = read(to, out)
    assert [row["weight"] for row in next(iter(tables.values()))] == list(TRAPS)
    assert [row["document"] for row in tables["documents"]] == ["a.pdf"]
    assert {path.name for path in tmp_path.iterdir()} == {"records", *(file.name for file in done.files)}


@pytest.mark.parametrize("to", Format)
def test_formats_agree(orders, tmp_path, to):
    export(orders, Format.PARQUET, tmp_path / "p.parquet")
    export(orders, to, tmp_path / f"t.{to}")
    expected = read("parquet", tmp_path / "p.parquet")
    found = read(to, tmp_path / f"t.{to}")
    for name, rows in expected.items():
        other = found[name] if name in found else found["lines"]
        assert [list(row) for row in other] == [list(row) for row in rows]
        if to == "csv":
            rows = [{key: "" if cell is None else str(cell) for key, cell in row.items()} for row in rows]
        assert other == rows
    assert len(found) == 4


def test_rows_set_aside_have_a_table(tmp_path):
    folder = tmp_path / "records"
    aside = [
        {"path": "/lines", "data": {"item": "Legend", "more": {"weight": "=3"}}, "reason": "Not on its line"},
        {
            "path": "/lines/0/item",
            "data": "Nut",
            "reason": "Not printed",
            "page": 1,
            "box": [1, 2, 3, 4],
            "text": "Nut",
        },
    ]
    write_record(folder, "a", {"lines": [{"item": "Nut"}]}, set_aside=aside)
    write_record(folder, "b", {"lines": []}, set_aside=[])
    done = export(folder, Format.CSV, tmp_path / "t.csv")
    assert [file.name for file in done.files] == ["t.csv", "t.documents.csv", "t.set_aside.csv"] and done.rows == 1
    assert read("csv", tmp_path / "t.csv")["set_aside"] == [
        {"document": "a.pdf", "path": "/lines", "item": "Legend", "more.weight": "=3", "reason": "Not on its line"},
        {"document": "a.pdf", "path": "/lines/0/item", "item": "Nut", "more.weight": "", "reason": "Not printed"},
    ]


def test_any_data_without_a_contract(tmp_path):
    folder = tmp_path / "records"
    write_record(folder, "a", {"document": "x", "Name": "A", "name": "B", "a.b": "1", "a": {"b": True}, "list": [1, {}],
                               "deep": [{"x/y": [{"z": "Z"}]}], "none": None})  # fmt: skip
    write_record(folder, "b", {"other": "late", "a": None, "deep": None})
    export(folder, Format.SQLITE, tmp_path / "t.sqlite")
    tables = read("sqlite", tmp_path / "t.sqlite")
    assert list(tables) == ["deep", "deep.x_y", "documents"]
    assert tables["deep.x_y"][0]["z"] == "Z" and tables["deep.x_y"][0]["other"] is None
    first, second = tables["documents"]
    assert first["document"] == "a.pdf" and first["document_2"] == "x" and second["other"] == "late"
    assert [first[name] for name in ("Name", "name_2", "a.b", "a.b_2", "list")] == ["A", "B", "1", "true", "[1, {}]"]


def test_records_without_their_contract_say_what_fields_are_for(tmp_path):
    evidence = {"/rows/0/weight": {**place(1, [1, 2, 3, 4], 0.9), "role": "value"}}
    evidence["/rows/0/group"] = {**place(1, [1, 0, 9, 1], 0.9), "role": "heading"}
    write_record(tmp_path / "records", "a", {"rows": [{"weight": "<1,5 kg", "group": "Nuts"}]}, evidence=evidence)
    export(tmp_path / "records", "csv", tmp_path / "out.csv")
    [row] = csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8-sig"))
    assert (row["weight_number"], row["weight_unit"], row["y0"]) == ("1.5", "kg", "2.0")


def test_two_documents_of_one_name_are_told_by_their_records(tmp_path):
    for name in ("report", "report.2", "other"):
        write_record(tmp_path / "records", name, {"rows": [{"weight": "1"}]})
    for name in ("report", "report.2"):
        path = tmp_path / "records" / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"source": "report.pdf"}))
    export(tmp_path / "records", "csv", tmp_path / "out.csv")
    rows = csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8-sig"))
    assert [row["document"] for row in rows] == ["other.pdf", "report.2.json", "report.json"]


def test_a_schema_without_lists_is_one_table(tmp_path):
    folder = tmp_path / "records"
    write_record(folder, "a", {"total": "9,50 €", "due": None}, evidence={"/total": place(1, [1, 2, 3, 4], 0.5)})
    contract = Contract.for_schema({"type": "object", "properties": {"total": TEXT, "due": TEXT, "anything": True}})
    contract.model_copy(update={"roles": {"total": "value"}}).save(folder)
    done = export(folder / "a.json", Format.PARQUET, tmp_path / "t.parquet")
    assert done.files == [tmp_path / "t.parquet"]
    (row,) = read("parquet", tmp_path / "t.parquet")[""]
    assert list(row)[5:] == ["total", "total_comparator", "total_number", "total_unit", "due", "anything",
                             "page", "x0", "y0", "x1", "y1", "confidence"]  # fmt: skip
    assert (row["total"], row["due"], row["page"], row["x1"], row["confidence"]) == ("9,50 €", None, 1, 3.0, 0.5)


def test_nothing_is_written_where_the_tables_do_not_fit(tmp_path):
    folder, out = tmp_path / "records", tmp_path / "t.xlsx"
    write_record(folder, "a", {"lines": [{"item": "x" * 40_000}]})
    out.write_text("before")
    with pytest.raises(AssayError, match="longer than the 32,767 characters"):
        export(folder, Format.XLSX, out)
    assert out.read_text() == "before" and sorted(path.name for path in tmp_path.iterdir()) == ["records", "t.xlsx"]
    write_record(folder, "a", {"lines": [{f"c{number}": "x" for number in range(3000)}]})
    with pytest.raises(AssayError, match="too many columns"):
        export(folder, Format.SQLITE, tmp_path / "t.sqlite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records", "t.xlsx"]
    export(folder, Format.XLSX, out)
    assert out.read_bytes()[:2] == b"PK"


def assay(*arguments, cwd):
    return command("export", *arguments, cwd=cwd)


def test_files_that_are_no_records_are_named(orders, tmp_path):
    (orders / "broken.json").write_text('{"source": "x"')
    (orders / "sub" / "foreign.json").write_text('{"resourceType": "Bundle"}')
    write_record(orders, "sub/contract", {"lines": [{"item": "Washer"}]})  # of a document of that name
    result = assay("records", "--to", "csv", cwd=tmp_path)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "records/broken.json is no record" in result.stderr and "sub/foreign.json is no record" in result.stderr
    assert "2 files could not be read" in result.stderr and "6 rows of 4 records, 1 of them failed" in result.stderr
    tables = read("csv", tmp_path / "records.csv")
    assert [row["document"] for row in tables["documents"]] == ["a.pdf", "b.pdf", "sub/b.pdf", "sub/contract.pdf"]
    assert tables[""][-1]["item"] == "Washer"


def test_mistakes_are_one_sentence(orders, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        (("none", "--to", "csv"), "none does not exist"),
        (("empty", "--to", "csv"), "holds no records"),
        (("records", "--to", "csv", "--out", "empty"), "is a folder"),
        (("records/a.json", "--to", "csv", "--out", "records/a.json"), "named like a record"),
    ):
        result = assay(*arguments, cwd=tmp_path)
        assert result.returncode == 2 and words in result.stderr and len(result.stderr.splitlines()) == 1
    one = assay("records/a.json", "--to", "parquet", cwd=tmp_path)
    assert one.returncode == 0 and " of 1 record, 0 of them" in one.stderr
    assert (tmp_path / "a.parquet").exists()
