import json
import random
from functools import partial
from pathlib import Path

import pytest

from extraction.document import Document, Page, Word, open_document
from extraction.evidence import ground as ground_in
from extraction.evidence.align import Candidate, align
from extraction.target import Leaf
from extraction.values.atoms import atoms
from recipes.lab_report.checks import CHECKS
from recipes.lab_report.lines import rows_like_results
from recipes.lab_report.synthetic import FAMILIES, make_report
from recipes.lab_report.synthetic.content import stable_random
from recipes.lab_report.synthetic.habits import with_habits
from tests.conftest import document_of

LABELLED = sorted((Path(__file__).parents[2].parent / "shared" / "data" / "lab_reports").glob("*/*.labels.json"))
ground = partial(ground_in, roles=CHECKS.roles, carried=("section",))
OWN = ("name", "result", "unit", "range")


def page(*lines, number=1, step=14.0):
    """A page of given lines; a character is 5 points wide, so that blanks place the words."""
    words = []
    for row, line in enumerate(lines):
        start = 0
        for part in line.split(" "):
            if part:
                words.append(
                    Word(part, (40.0 + 5 * start, 50 + step * row, 40.0 + 5 * (start + len(part)), 60 + step * row))
                )
            start += len(part) + 1
    return Page(number, 595, 842, words)


def document(*pages):
    return Document(Path("test.pdf"), "", list(pages))


def leaves(rows, table="tests"):
    return [
        Leaf((table, i, key), value, 0, 0)
        for i, row in enumerate(rows)
        for key, value in row.items()
        if value is not None
    ]


def test(name, result, unit=None, range=None, **more):
    return {"name": name, "result": result, "unit": unit, "range": range, **more}


test.__test__ = False


def found(rows, *pages):
    """The text found for each value, by (row, key)."""
    return {path[1:]: evidence for path, evidence in ground(leaves(rows), document(*pages)).items()}


def scalar(text, *lines):
    """The text found on a page for a value that stands alone."""
    evidence = ground([Leaf(("said",), text, 0, 0)], document(page(*lines))).get(("said",))
    return evidence.text if evidence else None


# What counts as printed


@pytest.mark.parametrize(
    ("value", "line", "text"),
    [
        ("5.0", "Glucose  15.0", None),
        ("5.0", "Glucose  5.01", None),
        ("5.0", "Glucose  5.0", "5.0"),
        ("1", "Protein  1+", None),
        ("1", "Protein  10", None),
        ("4.2", "Potassium  4.2mmol/L", "4.2"),
        ("mmol/L", "Potassium  4.2mmol/L", "mmol/L"),
        ("4.2", "Potassium  L4.2", "4.2"),
        ("L", "Potassium  L4.2", "L"),
        ("<4.2", "Ferritin  LL<4.2", "<4.2"),
        ("1", "Fluoride  L1", None),
        ("12", "Vitamin  B12", None),
        ("mg", "Glucose  5 mg/dL", None),
        ("83", "Neutrophils  83%", "83"),
        ("%", "Neutrophils  83%", "%"),
        ("5.0", "Sodium  +5.0", "5.0"),
        ("5.0", "Base excess  -5.0", None),
        ("-5.0", "Base excess  -5.0", "-5.0"),
        ("62", "Platelets  62<1>", "62"),
        ("62", "Platelets  62<↓>", "62"),
        ("62", "Platelets  62<63", None),
        ("-5.0", "Base excess  - 5.0", None),
        ("5.0", "CRP  <5.0", None),
        ("5.0", "CRP  < 5.0", None),
        ("<5.0", "CRP  < 5.0", "< 5.0"),
        ("<= 5", "CRP  ≤5", "≤5"),
        ("< 5", "CRP  ≤5", None),
        ("37.0 - 47.0", "Hematocrit  (37.0–47.0)", "37.0–47.0"),
        ("37.0", "Hematocrit  (37.0–47.0)", None),
        ("47.0", "Hematocrit  37.0 - 47.0", None),
        ("500", "Platelets  12 500", None),
        ("40", "Titre  1:40", None),
        ("10⁹/L", "Platelets  10^9/L", "10^9/L"),
        ("109/L", "Platelets  10⁹/L", None),
        ("µg/L", "Ferritin  μg/L", "μg/L"),
        ("4.2", "Kalium  4,2", "4,2"),
        ("1.000", "Trombocyten  1,000", None),
        ("glucose", "GLUCOSE  5", "GLUCOSE"),
        ("T4", "Free T4:  5", "T4"),
        ("4", "Free T4:  5", None),
        ("Glucose", "Glucose.........95", "Glucose"),
        ("Haematology > Red cells", "Haematology   Red cells", "Red cells"),
        ("Chemistry > Red cells", "Haematology   Red cells", None),
    ],
)  # fmt: skip
def test_a_value_is_found_only_as_it_is_printed(value, line, text):
    assert scalar(value, line) == text


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("Collected: 28/09/2019 09:58", True),
        ("Collected: 09/28/2019 09:58 AM", True),
        ("Prelievo: 28.09.2019 ore 09:58", True),
        ("Collected: Sep 28, 2019 09:58:00", True),
        ("Prélevé le 28 septembre 2019 à 09h58", True),
        ("Afname: 2019-09-28T09:58:00", True),
        ("Collected: 28/09/2019   Time: 09:58", True),
        ("Collected: 28/09/2019 09:59", False),
        ("Collected: 29/09/2019 09:58", False),
        ("Collected: 28/09/2019", False),
    ],
)
def test_a_moment_is_found_in_every_usual_way_to_print_it(line, is_found):
    assert bool(scalar("28-09-2019 09:58:00", line)) == is_found


def test_day_and_month_may_stand_in_either_order():
    assert scalar("03-04-2022 10:30:00", "Collected 04/03/2022 10:30")
    assert scalar("03-04-2022 00:00:00", "Collected 3.4.2022")
    assert not scalar("03-04-2022 10:30:00", "Collected 13/04/2022 10:30")


def test_numbers_are_compared_by_value():
    assert scalar(4.2, "Potassium  4,20") == "4,20"
    assert scalar(1234, "Platelets  1.234") == "1.234"
    assert scalar(-3, "Base excess  -3.0") == "-3.0"
    assert scalar(4, "Potassium  4.2") is None
    assert scalar(True, "Fasting: true") == "true"


def test_superscripts_stay_apart_from_digits():
    assert atoms("10⁹") == atoms("10^9") != atoms("109")


# Rows


def test_wrapped_values_go_on_in_their_column():
    lines = (
        "Transferrin           2.5   g/L   Men: 2.0 - 3.6",
        "saturation index                  Women: 1.8 - 3.2",
        "Ferritin              80    ug/L  30 - 400",
    )
    rows = [
        test("Transferrin saturation index", "2.5", "g/L", "Men: 2.0 - 3.6 Women: 1.8 - 3.2"),
        test("Ferritin", "80", "ug/L", "30 - 400"),
    ]
    got = found(rows, page(*lines))
    assert len(got) == 8
    assert got[0, "range"].text == "Men: 2.0 - 3.6 Women: 1.8 - 3.2"
    assert got[0, "name"].box == (40, 50, 40 + 5 * 16, 74)


def test_repeated_values_are_told_apart_by_their_rows():
    names = ["Nitrite", "Ketones", "Blood", "Protein"]
    rows = [test(name, "Negative", None, "Negative") for name in names]
    got = found(rows, page(*(f"{name:20} Negative    Negative" for name in names)))
    assert [got[i, "result"].box[1] for i in range(4)] == [50, 64, 78, 92]
    assert all(got[i, "result"].box[0] < got[i, "range"].box[0] for i in range(4))


def test_the_same_test_under_two_specimens_keeps_the_order_of_the_page():
    lines = (
        "Serum",
        "Glucose   5.0   mmol/L",
        "Protein   70   g/L",
        "Urine",
        "Glucose   5.0   mmol/L",
        "Protein   70   g/L",
    )
    rows = [
        test(name, result, unit, specimen=specimen)
        for specimen in ("Serum", "Urine")
        for name, result, unit in (("Glucose", "5.0", "mmol/L"), ("Protein", "70", "g/L"))
    ]
    got = found(rows, page(*lines))
    assert [got[i, "result"].box[1] for i in range(4)] == [64, 78, 106, 120]
    assert [got[i, "specimen"].box[1] for i in range(4)] == [50, 50, 92, 92]
    backwards = found(rows[::-1], page(*lines))
    assert [backwards[i, "specimen"].box[1] for i in range(4)] == [92, 92, 50, 50]


def test_results_swapped_between_rows_of_one_name_are_no_evidence():
    lines = ("Serum", "Glucose   5.0   mmol/L", "Urine", "Glucose   0.3   mmol/L")
    rows = [test("Glucose", "0.3", "mmol/L", specimen="Serum"), test("Glucose", "5.0", "mmol/L", specimen="Urine")]
    got = found(rows, page(*lines))
    assert (0, "result") not in got and (1, "result") not in got
    assert (0, "name") in got and (1, "name") in got


def test_a_value_of_another_row_is_no_evidence():
    lines = ("Sodium     140   mmol/L   135 - 145", "Potassium  4.2   mmol/L   3.5 - 5.1", "Chloride   101   mmol/L")
    rows = [test("Sodium", "4.2", "mmol/L", "135 - 145"), test("Potassium", "140", "mmol/L", "3.5 - 5.1")]
    got = found(rows, page(*lines))
    assert {key for key in got if key[1] == "result"} == set()
    # The row of chloride is missing from the record, and its result in another one.
    slipped = found([test("Sodium", "140"), test("Potassium", "101")], page(*lines))
    assert set(slipped) == {(0, "name"), (0, "result"), (1, "name")}


def test_a_limit_or_an_earlier_result_is_no_evidence_for_a_result():
    lines = [f"{name:14}{now:8}{unit:10}{before:8}" for name, now, unit, before in (
        ("Sodium", "140", "mmol/L", "138"), ("Potassium", "4.2", "mmol/L", "4.4"), ("Chloride", "101", "mmol/L", "99"),
        ("Urea", "5.1", "mmol/L", "6.0"), ("Calcium", "2.3", "mmol/L", "2.2"), ("Iron", "17", "umol/L", "16"),
    )]  # fmt: skip
    rows = [test("Sodium", "140"), test("Potassium", "4.4"), test("Chloride", "101"), test("Urea", "5.1"),
            test("Calcium", "2.3"), test("Iron", "17")]  # fmt: skip
    got = found(rows, page(*lines))
    assert {key[0] for key in got if key[1] == "result"} == {0, 2, 3, 4, 5}
    assert (0, "result") not in found([test("Sodium", "145", None, "135 - 145")], page("Sodium   140   135 - 145"))


def test_tables_side_by_side_keep_their_values():
    lines = [f"{a:12}{x:8}{y:14}{b:12}{z:8}{w}" for a, x, y, b, z, w in (
        ("Sodium", "5.0", "3.0 - 6.0", "Iron", "7.0", "1.0 - 9.0"),
        ("Chloride", "7.0", "1.0 - 9.0", "Zinc", "5.0", "3.0 - 6.0"),
    )]  # fmt: skip
    rows = [test("Sodium", "5.0", None, "3.0 - 6.0"), test("Chloride", "7.0", None, "1.0 - 9.0"),
            test("Iron", "7.0", None, "1.0 - 9.0"), test("Zinc", "5.0", None, "3.0 - 6.0")]  # fmt: skip
    got = found(rows, page(*lines))
    assert len(got) == 12
    assert [(got[i, "result"].box[0] < 200, got[i, "result"].box[1]) for i in range(4)] == [
        (True, 50), (True, 64), (False, 50), (False, 64),
    ]  # fmt: skip
    rows[0]["result"], rows[2]["result"] = "7.0", "5.0"
    assert {key[0] for key in found(rows, page(*lines)) if key[1] == "result"} == {1, 3}


# Values below their names


def test_a_row_that_is_called_by_its_specimen_walls_off_no_other():
    names = ["Elastase", "Helicobacter antigen", "Giardia lamblia", "Rotavirus antigen", "Ova and parasites"]
    values = ["180", "Neg", "Not detected", "Pos", "Neg"]
    lines = [line for name, value in zip(names, values, strict=True) for line in (name, f"{'':30}Faeces    {value}")]
    rows = [test("Faeces", "180"), *map(test, names[1:], values[1:])]
    got = found(rows, page(*lines))
    assert [got[i, "result"].text for i in range(1, 5)] == values[1:]
    # Where the words of a column differ they are names, of rows that the record lacks.
    lines = [f"{'':30}{name:10}5.{at}" for at, name in enumerate(["Faeces", "Iron", "Zinc", "Copper", "Lead"])]
    lines.insert(1, "Helicobacter antigen")
    assert (1, "result") not in found([test("Faeces", "5.0"), test(names[1], "5.1")], page(*lines))


def test_a_value_a_line_lower_than_others_is_its_rows_where_their_line_has_none():
    names, values = ["HBsAg", "HBeAg", "Anti-HCV", "Anti-HEV", "Anti-HAV"], ["Neg", "Pos", "Neg", "In process", "Pos"]
    lines = []
    for name, value in zip(names, values, strict=True):
        late = value == "In process"
        lines += [name, f"{'':30}Serum     {'' if late else value:14}Normal", *([f"{'':40}{value}"] if late else [])]
    rows = [*map(test, names, values)]
    got = found(rows, page(*lines))
    assert [got[i, "result"].text for i in range(5)] == values
    # What stands below a row's own value is none of it, nor is what has words before it.
    for line in (7, 8):
        told = list(lines)
        told[line] = f"{'':40}Open" if line == 7 else f"{'':10}Remark: {'':22}In process"
        told[7] = told[7] if line == 8 else f"{'':30}Serum     Open          Normal"
        assert ((3, "result") in found(rows, page(*told))) is False, line


def test_a_value_over_its_place_in_a_picture_of_the_range_is_its_rows():
    names = ["Iron", "Ferritin", "Transferrin", "Folate", "Zinc"]
    values, places = ["22.5", "278", "8", "4.1", "12"], [20, 20, 4, 20, 20]
    lines = []
    for name, value, place in zip(names, values, places, strict=True):
        lines += [name, "Range: 16 - 45 %", f"{'':{place}}{value}"]
    got = found([*map(test, names, values)], page(*lines))
    assert [got[i, "result"].text for i in range(5)] == values
    # A number that does not stand alone there is not the row's.
    lines[8] = "    8               9.2"
    assert (2, "result") not in found([*map(test, names, values)], page(*lines))


def test_where_values_stand_below_names_a_number_beside_one_hides_none():
    names, values = ["Albumin", "Creatinine", "Iron", "Ratio"], ["12", "18.1", "9", "2.3"]
    lines = []
    for name, value in zip(names, values, strict=True):
        lines += [f"{name:30}{'24 h protein' if name == 'Ratio' else ''}".rstrip(), f"{'':12}{value}"]
    got = found([*map(test, names, values)], page(*lines))
    assert [got[i, "result"].text for i in range(4)] == values


def test_a_number_that_a_row_is_called_by_may_be_the_value_of_another():
    lines = [
        "Glucose, 0 min          Glucose, 30 min",
        "99 mg/dL                123 mg/dL",
        "Glucose, 60 min",
        "155 mg/dL",
    ]
    rows = [test("Glucose, 0 min", "99", "mg/dL"), test("99", "123", "mg/dL"), test("Glucose, 60 min", "155", "mg/dL")]
    got = found(rows, page(*lines))
    assert got[0, "result"].text == "99" and (1, "name") not in got and (1, "result") not in got


def test_a_method_in_brackets_below_a_name_is_no_other_row():
    lines = [
        "Monocytes, blood,",
        "Technicon",
        "(Microscopy)                  10.4      %",
        "Basophils, blood",
        "(Impedance)                   1.2       %",
    ]
    got = found([test("Monocytes, blood", "10.4", "%"), test("Basophils, blood", "1.2", "%")], page(*lines))
    assert [got[i, "result"].text for i in range(2)] == ["10.4", "1.2"]


def test_what_is_printed_once_and_read_twice_is_the_value_where_the_rows_around_have_no_other():
    lines = ["TB1 min nil: 0.36 IU/mL", "Zinc: 12 umol/L", "Folate: pending", "Iron: 20 umol/L"]
    rows = [test("TB1 min nil", "0.36", "IU/mL", "0.36"), test("Zinc", "12", "umol/L"),
            test("Folate", "pending", None, "pending"), test("Iron", "20", "umol/L")]  # fmt: skip
    got = found(rows, page(*lines))
    assert [(i, "result") in got for i in range(4)] == [True] * 4
    assert (0, "range") not in got and (2, "range") not in got


def test_pages_can_be_restricted():
    lines = [Leaf(("tests", 0, "name"), "Sodium", 0, 0), Leaf(("tests", 0, "result"), "140", 0, 0)]
    pages = document(page("Sodium   140"), page("Sodium   140", number=2))
    assert {e.page for e in ground(lines, pages).values()} == {1}
    assert {e.page for e in ground(lines, pages, pages={("tests", 0): {2}}).values()} == {2}


def test_any_schema():
    record = [
        (("patient", "name"), "Jane Doe"),
        (("patient", "age"), 43),
        (("panels", 0, "title"), "Electrolytes"),
        (("panels", 0, "tests", 0, "label"), "Sodium"),
        (("panels", 0, "tests", 0, "value"), 140),
        (("panels", 1, "title"), "Lipids"),
        (("panels", 1, "tests", 0, "label"), "HDL"),
        (("panels", 1, "tests", 0, "value"), 1.5),
        (("panels", 1, "tests", 1, "label"), "LDL"),
        (("panels", 1, "tests", 1, "value"), 140),
        (("tags", 0), "urgent"),
        (("tags", 1), "elsewhere"),
    ]
    sheet = page(
        "Jane Doe   43 years   urgent", "", "Electrolytes", "Sodium   140", "", "Lipids", "HDL   1,50", "LDL   3.0"
    )
    got = ground([Leaf(path, value, 0, 0) for path, value in record], document(sheet))
    missing = {path for path, _ in record if path not in got}
    assert missing == {("panels", 1, "tests", 1, "value"), ("tags", 1)}
    assert got["panels", 1, "tests", 0, "value"].text == "1,50"


def test_rows_without_a_place():
    assert ground([], document(page("Sodium   140"))) == {}
    assert found([test("Sodium", "140")], page()) == {}
    assert found([test("Unobtainium", "140")], page("Sodium   140   mmol/L")) == {}


def test_alignment_prefers_order_but_does_not_need_it():
    same = [Candidate(1, 3.0), Candidate(2, 3.0)]
    assert align([same, same], 4.0) == [0, 1]
    assert align([[Candidate(5, 6.0)], [Candidate(1, 6.0)], [], [Candidate(9, 6.0)]], 4.0) == [0, 0, None, 0]
    assert align([same, same, same], 4.0).count(None) == 1
    assert align([], 4.0) == []


# Whole reports


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    made = []
    for name in FAMILIES:
        style = with_habits(FAMILIES[name].sample(stable_random("report", name, 21)), FAMILIES[name],
                            stable_random("habits", name, 21))  # fmt: skip
        # A printed line with a value for every date, a card of a portal and a flag that touches its value are not
        # grounded as surely yet.
        if style.dates or style.layout == "portal" or style.flag_tight:
            continue
        report = make_report(name, 21, max_rows=14)
        path = folder / f"{name}.pdf"
        path.write_bytes(report.pdf)
        if report.cells:
            made.append((report, open_document(path)))
    return made


def located(evidence, cell):
    """Whether evidence has its middle in the box of a printed cell."""
    if evidence is None or evidence.page != cell.page:
        return False
    x, y = (evidence.box[0] + evidence.box[2]) / 2, (evidence.box[1] + evidence.box[3]) / 2
    return cell.box.x0 - 1 <= x <= cell.box.x1 + 1 and cell.box.y0 - 1 <= y <= cell.box.y1 + 1


def share(reports, order):
    """The share of the cells that are located, with the rows of each record in another order."""
    hits = total = 0
    for report, opened in reports:
        rows = report.record["tests"]
        places = order(len(rows))
        got = ground(leaves([rows[i] for i in places]), opened)
        for cell in report.cells:
            if cell.row in places:
                hits += located(got.get(("tests", places.index(cell.row), cell.field)), cell)
                total += 1
    return hits / total


def test_cells_of_synthetic_reports_are_located(reports):
    assert share(reports, lambda n: list(range(n))) > 0.99


def test_rows_in_another_order_and_missing_rows(reports):
    rng = random.Random(1)
    assert share(reports, lambda n: rng.sample(range(n), n)) > 0.98
    assert share(reports, lambda n: sorted(rng.sample(range(n), (2 * n + 2) // 3))) > 0.98


def test_swapped_results_are_not_evidence(reports):
    rng = random.Random(2)
    for report, opened in reports:
        rows = [dict(row) for row in report.record["tests"]]
        results = {row["result"] for row in rows if row["result"]}
        if len(results) < 2:
            continue
        a, b = rng.sample([i for i, row in enumerate(rows) if row["result"]], 2)
        while rows[a]["result"] == rows[b]["result"]:
            a, b = rng.sample([i for i, row in enumerate(rows) if row["result"]], 2)
        rows[a]["result"], rows[b]["result"] = rows[b]["result"], rows[a]["result"]
        got = ground(leaves(rows), opened)
        assert not [rows[i] for i in (a, b) if ("tests", i, "result") in got], report.family


def test_inventions_are_not_found(reports):
    rng = random.Random(3)
    for report, opened in reports:
        printed = {word.text for sheet in opened.pages for word in sheet.words}
        rows = [dict(row) for row in report.record["tests"]]
        wrong = set()
        for i, row in enumerate(rows):
            invented = f"{rng.randrange(100, 999)}.{rng.randrange(100, 999)}"
            if row["result"] and i % 3 == 0 and invented not in printed:
                row["result"] = invented
                wrong.add(("tests", i, "result"))
            if i % 5 == 1:
                row["name"] = f"Quux {row['name']} test"
                wrong.add(("tests", i, "name"))
        rows.append(test("Zorbulin", rows[0]["result"], rows[0]["unit"], None))
        wrong |= {("tests", len(rows) - 1, key) for key in OWN}
        assert not wrong & set(ground(leaves(rows), opened)), report.family


def test_lines_that_look_like_results(reports):
    seen = real = rows = 0
    for report, opened in reports:
        gold = [cell for cell in report.cells if cell.field == "result"]
        lines = rows_like_results(opened)
        seen += len(lines)
        rows += len(gold)
        for line in lines:
            real += any(
                cell.page == line.page and min(cell.box.y1, line.box[3]) - max(cell.box.y0, line.box[1]) > 2
                for cell in gold
            )
    assert real / seen > 0.95
    assert seen / rows > 0.7


@pytest.mark.skipif(not LABELLED, reason="no real reports here")
def test_labels_of_real_reports():
    hits = total = 0
    for path in LABELLED:
        labels = json.loads(path.read_text(encoding="utf-8"))
        opened = open_document(path.with_name(path.name.replace(".labels.json", ".pdf")))
        if not opened.has_text or labels.get("complete") is False:
            continue
        rows = [
            test(row["test"], row["value"], row["unit"], row.get("reference_range"), section=row.get("section"))
            for row in labels["results"]
        ]
        wanted = leaves(rows)
        hits += len(ground(wanted, opened))
        total += len(wanted)
    assert hits / total > 0.98


@pytest.mark.parametrize("mark", ["*", "**", "°", "†", "§", "§§", "^", "#", "(1)"])
def test_a_footnotes_mark_does_not_hide_a_name(mark):
    document = document_of(f"Albumin{mark}      42      g/L     35 - 50")
    leaves = [Leaf(("tests", 0, "name"), "Albumin", 0, 0), Leaf(("tests", 0, "result"), "42", 0, 0)]
    assert len(ground(leaves, document)) == 2


def test_headings_are_told_by_their_roles_whatever_their_names():
    lines = (
        "Fruit   03/05/2024 10:30",
        "Apples   12   kg",
        "Pears    7    kg",
        "Vegetables   04/05/2024 08:00",
        "Leeks    12   kg",
        "Pears    7    kg",
    )
    rows = [
        {"what": what, "amount": amount, "group": group, "taken_at": when}
        for group, when, own in (
            ("Fruit", "03-05-2024 10:30:00", (("Apples", "12"), ("Pears", "7"))),
            ("Vegetables", "04-05-2024 08:00:00", (("Leeks", "12"), ("Pears", "7"))),
        )
        for what, amount in own
    ]
    roles = {"group": "heading", "taken_at": "time", "what": "name", "amount": "value"}
    got = {path[1:]: place for path, place in ground_in(leaves(rows), document(page(*lines)), roles=roles).items()}
    assert len(got) == 16
    assert [got[i, "group"].box[1] for i in range(4)] == [50, 50, 92, 92]
    assert [got[i, "taken_at"].box[1] for i in range(4)] == [50, 50, 92, 92]
    assert [got[i, "what"].box[1] for i in range(4)] == [64, 78, 106, 120]
    # The same columns without roles: a heading may stand beside one row only.
    assert len(ground_in(leaves(rows), document(page(*lines)))) < 16
    assert len(ground_in(leaves(rows), document(page(*lines)), carried=("group", "taken_at"))) == 16


def test_the_name_of_a_row_is_the_field_of_that_role():
    lines = ("kg   Apples   A1", "kg   Pears   B2", "kg   Apples   B2")
    rows = [{"unit": "kg", "what": "Pears", "code": "B2"}, {"unit": "kg", "what": "Apples", "code": "B2"}]
    got = ground_in(leaves(rows), document(page(*lines)), roles={"what": "name"})
    assert [got["tests", i, "code"].box[1] for i in range(2)] == [64, 78]


def test_a_labelled_line_that_holds_a_rows_method_is_no_name_of_another_row():
    rows = [test("Urea", "2.5", "mmol/L", method="Jaffe kinetic"), test("Uric acid", "280", "umol/L", method="Uricase")]
    lines = ["Urea:", "Method: Jaffe kinetic", "        2.5    mmol/L"]
    lines += ["Uric acid:", "Method: Uricase", "        280    umol/L"]
    got = ground_in(leaves(rows), document(page(*lines)), roles=CHECKS.roles)
    assert [got["tests", i, "result"].text for i in range(2)] == ["2.5", "280"]


def test_a_number_around_nested_rows_takes_no_value_of_theirs():
    shop = document(page("Nails            2.00  EUR", "Screws           3.50  EUR"))
    items = [("Nails", "2.00"), ("Screws", "3.50")]
    inner = [
        Leaf(("groups", 0, "items", i, key), value, 0, 0)
        for i, item in enumerate(items)
        for key, value in zip(("article", "price"), item, strict=True)
    ]
    placed = ground_in([Leaf(("groups", 0, "n"), 2, 0, 0), *inner], shop)
    assert set(placed) >= {leaf.path for leaf in inner} and ("groups", 0, "n") not in placed


def test_what_is_printed_once_is_one_heading_and_no_other():
    page = document_of("Patient: Fleur Vermeulen   Lab: Zandveen\nCollected 28-08-2017")
    values = {"patient_name": "Fleur Vermeulen", "sex": "Fleur Vermeulen", "laboratory": "Zandveen",
              "collected": "28-08-2017", "received": "28-08-2017"}  # fmt: skip
    roles = dict.fromkeys(("patient_name", "sex", "laboratory"), "heading") | dict.fromkeys(
        ("collected", "received"), "time"
    )
    leaves = [Leaf((key,), value, 0, 0) for key, value in values.items()]
    assert {path[0] for path in ground(leaves, page, roles=roles)} == set(values) - {"sex"}
    twice = document_of("Patient: Fleur Vermeulen\nOrdered by: Fleur Vermeulen")
    both = [Leaf((key,), "Fleur Vermeulen", 0, 0) for key in ("patient_name", "ordered_by")]
    assert len(ground(both, twice, roles={"patient_name": "heading", "ordered_by": "heading"})) == 2
