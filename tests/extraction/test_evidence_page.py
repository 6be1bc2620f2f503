"""The evidence page: one file that loads nothing, and in which a document cannot run anything."""

import json
import re

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from extraction.document import open_document
from extraction.errors import AssayError
from extraction.generate import Generation
from extraction.record.index import write_index
from extraction.record.record import Field, Issue, Record
from tests.conftest import record_of

NASTY = "</script><script>alert(1)</script><img/src=x>"


@pytest.fixture
def page(tmp_path):
    canvas = Canvas(str(tmp_path / "a.pdf"))
    for number, line in enumerate(["Glucose", NASTY]):
        canvas.drawString(72, 700 - 20 * number, line)
        canvas.drawString(400, 700 - 20 * number, ("5,0", "7")[number])
    canvas.save()
    answer = json.dumps({"tests": [["Glucose", "5,0"], [NASTY, "7"], ["Natrium", "140"]]}, separators=(",", ":"))
    document = open_document(tmp_path / "a.pdf")
    record = record_of(document, Generation(answer, "stop"))
    record.save_html(tmp_path / "a.html")
    assert not list(tmp_path.glob("*.tmp"))
    return (tmp_path / "a.html").read_text(encoding="utf-8")


def embedded(page):
    return json.loads(re.search(r'<script id="record" type="application/json">(.*?)</script>', page, re.S).group(1))


def test_every_value_has_its_place_or_is_marked_as_absent(page):
    values = embedded(page)
    fields = values["fields"]
    assert fields["/tests/0/result"]["text"] == "5,0" and fields["/tests/0/result"]["page"] == 1
    left, top, right, bottom = fields["/tests/0/result"]["box"]
    assert 398 < left < right < 430 and 842 - 715 < top < bottom < 842 - 690
    assert [i["path"] for i in values["issues"]] == ["/tests"] and "/tests/2/result" not in fields
    [aside] = values["set_aside"]
    assert (aside["path"], aside["data"]["name"], aside["told"]) == ("/tests", "Natrium", "tests")
    assert values["pages"][0]["image"].startswith("data:image/png;base64,")


def test_it_loads_nothing_and_runs_nothing_of_the_document(page):
    assert page.count("</script>") == 2 and "<script>alert" not in page
    assert embedded(page)["data"]["tests"][1]["name"] == NASTY
    assert "default-src 'none'" in page and not re.search(r'(src|href)="(http|//)', page)


def test_it_shows_an_encrypted_document_and_not_its_password(tmp_path):
    canvas = Canvas(str(tmp_path / "a.pdf"), encrypt=StandardEncryption("pass-phrase"))
    canvas.drawString(72, 700, "Glucose 5,0")
    canvas.save()
    document = open_document(tmp_path / "a.pdf", password="pass-phrase")
    record = record_of(document, Generation('{"tests":[["Glucose","5,0"]]}', "stop"))
    record.save_html(tmp_path / "a.html")
    record.save(tmp_path / "a.json")
    assert embedded((tmp_path / "a.html").read_text(encoding="utf-8"))["pages"][0]["image"]
    assert not [path.name for path in tmp_path.iterdir() if b"pass-phrase" in path.read_bytes()]


def test_a_failed_record_has_no_page(tmp_path):
    with pytest.raises(AssayError, match="no text layer"):
        Record.failed("a.pdf", "unreadable", "a.pdf has no text layer").save_html(tmp_path / "x.html")
    Record("a.pdf", "ok", {"a": "1"}).save(tmp_path / "a.json")
    with pytest.raises(AssayError, match="assay extract FILE"):
        Record.load(tmp_path / "a.json").save_html(tmp_path / "x.html")


def test_the_index_of_a_folder_begins_with_what_is_most_in_doubt(tmp_path):
    def record(source, confidences, *issues, status="ok"):
        fields = {f"/n/{i}": Field(i, f"/n/{i}", c) for i, c in enumerate(confidences)}
        return Record(source, status, {"n": list(range(len(confidences)))}, list(issues), fields)

    left = Issue("row_left_out", "A line is in no row.", path="/n")
    records = [
        ("sure", record("sure.pdf", [0.99, 0.98])),
        ("less", record("less.pdf", [0.99, 0.91])),
        ("two", record("two.pdf", [0.2, 0.3], status="partial")),
        ("none", record("none.pdf", [])),
        ("all", record("all.pdf", [0.99] * 5, left, status="partial")),
        ("<b>/x#1", Record.failed("x#1.pdf", "unreadable", "x#1.pdf is <empty>")),
    ]
    (tmp_path / "sub").mkdir()
    (tmp_path / "less.html").touch()
    page = write_index(tmp_path, records, 0.9).read_text()
    rows = re.findall(r"<tr><td>(.*?)</td><td class=\"(\w+)\">.*?<td>([^<]*)</td></tr>", page)
    assert [status for _, status, _ in rows] == ["failed", "partial", "partial", "ok", "ok", "ok"]
    assert [name for name, _, _ in rows] == [
        "&lt;b&gt;/x#1.pdf",
        "all.pdf",
        "two.pdf",
        "none.pdf",
        '<a href="less.html">less.pdf</a>',
        "sure.pdf",
    ]
    assert rows[3][2] == "nothing was found to read"
    assert rows[0][2] == "x#1.pdf is &lt;empty&gt;" and rows[1][2] == "rows left out" and "<b>" not in page
    assert "1 failed, 2 partial, 3 ok" in page and "default-src 'none'" in page and "__" not in page
