"""The evidence page: one file that loads nothing, and in which a document cannot run anything."""

import html
import json
import re
import shutil
import subprocess

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


def write(path, page, values):
    """The page of other values."""
    told = json.dumps(values).replace("<", "\\u003c")
    path.write_text(
        re.sub(r'(json">).*?(?=</script>)', lambda m: m[1] + told, page, count=1, flags=re.S), encoding="utf-8"
    )


def in_browser(path, told, *options):
    """What the expression `told` gives in a browser that shows the page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no Chromium here")
    probe = f"<script>document.body.dataset.told = JSON.stringify({told})</script></body>"
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path.parent / 'profile'}", *options)
    ran = subprocess.run([browser, *flags, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=60)
    return json.loads(html.unescape(re.search(r'data-told="(.*?)"', ran.stdout).group(1)))


def test_the_head_and_the_keys_count_what_is_to_review_and_what_is_set_aside(page, tmp_path):
    values = embedded(page)
    printed = next(iter(values["fields"]))
    for path, field in values["fields"].items():
        field["review"] = path == printed
    values["fields"]["/x"] = {"page": None, "confidence": 1.0, "review": False}  # a choice stands nowhere
    values["data"] |= {"x": "serum", "y": None}
    values["set_aside"].append({"path": "/y", "data": "12", "reason": "it stands nowhere", "told": "y"})
    write(tmp_path / "b.html", page, values)
    visited = "[0, 1, 2, 3].map(() => { goto(1); return [...cells].find(([, node]) => node.matches('.on'))[0] })"
    told, visited = in_browser(tmp_path / "b.html", f"[byId('legend').textContent, {visited}]")
    assert " 1 to review" in told and " 2 set aside, not among the values (red, dotted)" in told
    assert visited == [printed, "aside/0", "aside/1", printed]


def test_a_box_that_values_share_is_as_doubtful_as_the_most_doubtful(page, tmp_path):
    values = embedded(page)
    sure, doubtful, *_ = values["fields"].values()
    for field in values["fields"].values():
        field["review"] = field is doubtful
    doubtful["box"] = sure["box"]
    write(tmp_path / "b.html", page, values)
    assert in_browser(tmp_path / "b.html", "document.querySelectorAll('rect.doubt').length") == 1


def test_a_wide_table_is_shown_whole_and_the_buttons_do_not_break(page, tmp_path):
    values = embedded(page)
    values["data"]["tests"] = [{f"column_{number}": "1" for number in range(7)}]  # wider than half of the window
    write(tmp_path / "b.html", page, values)
    told = "[byId('values').scrollWidth - byId('values').clientWidth, getComputedStyle(byId('next')).whiteSpace]"
    assert in_browser(tmp_path / "b.html", told, "--window-size=1280,900") == [0, "nowrap"]


def test_it_prints_what_the_marks_mean_and_what_is_to_review(page, tmp_path):
    (tmp_path / "b.html").write_text(page, encoding="utf-8")
    in_browser(tmp_path / "b.html", "1", f"--print-to-pdf={tmp_path / 'b.pdf'}")
    told = " ".join(word.text for word in open_document(tmp_path / "b.pdf").pages[0].words)
    assert " to review: " in told and "set aside, not among the values (red, dotted)" in told and "zoom" not in told


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
