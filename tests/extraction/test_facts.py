"""One fact, one parser: a date, a number and a unit mean the same to scorer, grader, typed values and grounding."""

import json
from pathlib import Path

import pytest

from extraction.contract import Contract
from extraction.document import Document, Page, Word
from extraction.evidence import ground
from extraction.generate.backend import Generation
from extraction.score.normal import normal
from extraction.target import Leaf
from extraction.values import type_value
from extraction.values.units import unit
from recipes.ehr_qa.grade import grade, score
from recipes.ehr_qa.questions import CATEGORIES, Question
from recipes.lab_report.fields import HEAD, ROW
from recipes.lab_report.task import CONTRACT
from tests.conftest import document_of, record_of


def is_printed(value, text, role=None):
    """Whether a value is found on a page that prints a text."""
    words, at = [], 40.0
    for part in f"Found:  {text}".split(" "):
        if part:
            words.append(Word(part, (at, 50, at + 5 * len(part), 60)))
        at += 5 * (len(part) + 1)
    document = Document(Path("test.pdf"), "", [Page(1, 595, 842, words)])
    return bool(ground([Leaf(("said",), value, 0, 0)], document, roles={"said": role} if role else {}))


def is_right(kind, gold, answer):
    return grade(Question("p1", CATEGORIES[0], "free", kind, "?", (), gold, None, (3,), ()), answer)


@pytest.mark.parametrize(
    "text",
    [
        "12 May 2021", "May 12, 2021", "12th of May 2021", "2021-05-12", "2021/5/12", "12.05.2021", "12-5-2021",
        "12 mai 2021", "12 mei 2021", "12. Mai 2021", "12 de mayo de 2021", "12 maggio 2021", "12-MAY-2021",
    ],
)  # fmt: skip
def test_a_day_is_a_day_in_every_form_and_language(text):
    assert normal(text, "time") == normal("12-05-2021") == "12-05-2021"
    assert type_value(text, order="DMY").date == "2021-05-12"
    assert is_right("date", "2021-05-12", text)
    assert is_printed("12-05-2021", text)
    for other in ("2021-05-13", "2021-06-12", "2022-05-12"):
        assert normal(text, "time") != normal(other, "time")
        assert type_value(text, order="DMY").date != other
        assert not is_right("date", other, text)
        assert not is_printed(other, text)


@pytest.mark.parametrize(
    "names",
    [
        "january february march april may june july august september october november december",
        "januari februari maart april mei juni juli augustus september oktober november december",
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", "jan. feb. mrt apr. mei jun. jul. aug. sept. okt. nov. dec.",
        "Jän. Feb. Mrz. Apr. Mai Jun. Jul. Aug. Sep. Okt. Nov. Dez.",
        "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
        "ene feb mar abr may jun jul ago sep oct nov dic", "gen feb mar apr mag giu lug ago set ott nov dic",
    ],
)  # fmt: skip
def test_every_month_has_its_names(names):
    for month, name in enumerate(names.split(), 1):
        assert normal(f"3 {name} 2020", "time") == f"03-{month:02}-2020"
        assert type_value(f"3 {name} 2020").date == f"2020-{month:02}-03"


def test_a_time_of_day_is_one_in_every_form():
    forms = ["28/09/2019 09:58", "2019-09-28T09:58:00", "28 septembre 2019 à 09h58", "Sep 28, 2019 09:58 AM"]
    assert len({normal(text, "time") for text in forms}) == 1
    assert {type_value(text).date.removesuffix(":00") for text in forms} == {"2019-09-28T09:58"}
    for text in forms:
        assert is_printed("28-09-2019 09:58:00", text) and is_right("date", "2019-09-28", text)
        assert not is_printed("28-09-2019 09:59:00", text)
    zoned = "2019-09-28T09:58:00+02:00"
    assert is_right("date", "2019-09-28", zoned) and type_value(zoned).date == zoned
    assert normal(zoned, "time") != normal("2019-09-28T09:58:00Z", "time")


@pytest.mark.parametrize(
    "texts",
    [
        [
            "K/uL",
            "k/µL",
            "10^3/uL",
            "x10³/µL",
            "10*3/uL",
            "×10³/μL",
            "10E3/mcL",
            "10**3 / uL",
            "K per uL",
            "Thousand/uL",
        ],
        ["M/uL", "10^6/µL", "10*6/uL", "Million/uL"],
        ["ug/L", "µg/L", "μg/L", "mcg/L", "mcg per L", "UG/L"],
        ["mm[Hg]", "mmHg"],
        ["Cel", "°C", "degC", "degrees Celsius"],
        ["mL/min/1.73 m²", "ml/min/1,73m2", "mL/min/{1.73_m2}", "mL/min/1.73m^2"],
        ["%", "percent"],
        ["m[IU]/L", "mIU/L"],
    ],
)
def test_a_unit_is_a_unit_in_every_spelling(texts):
    first = texts[0]
    for text in texts:
        assert normal(text, "unit") == normal(first, "unit") == unit(text)
        assert is_right("number", f"5.5 {first}", f"5.5 {text}") and is_right("number", f"5.5 {text}", f"5.5 {first}")
        if " " not in text:
            assert is_printed(first, text, "unit")


@pytest.mark.parametrize(
    "texts",
    [
        ["G/L", "g/L", "10^9/L", "10^6/L", "109/L", "K/uL", "M/uL"],
        ["mg/L", "µg/L", "g/L", "mg/dL", "ng/L", "U/L", "IU/L", "mmol/L"],
        ["C", "F", "%", "mmHg", "cm", "kg"],
    ],
)
def test_units_that_differ_stay_apart(texts):
    for text in texts:
        for other in texts:
            if text != other:
                assert normal(text, "unit") != normal(other, "unit")
                assert not is_right("number", f"5.5 {text}", f"5.5 {other}")
                assert not is_printed(text, other, "unit")


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["4.2", "4,2", "4.20", "4,20"], 4.2),
        (["1,234.5", "1.234,5", "1 234,5", "1'234.5", "1’234.50", "1234.5"], 1234.5),
        (["12 500", "12'500", "12500", "12\u202f500"], 12500),
        (["1,234,567", "1.234.567", "1'234'567", "1234567"], 1234567),
        (["0.125", "0,125", "0.1250"], 0.125),
        (["-3", "−3", "-3.0", "–3,0"], -3),
    ],
)
def test_a_number_is_a_number_with_every_mark(texts, value):
    for text in texts:
        assert normal(text, "value") == normal(value, "value")
        assert float(type_value(text).value) == value and type_value(text).kind == "number"
        assert is_printed(value, text)
        if value > 0:
            assert is_right("number", f"{value} mg/L", f"{text} mg/L")
        for other in (value + 1, -value, value * 1000, value / 1000):
            assert normal(text, "value") != normal(other, "value")
            assert not is_right("number", f"{other} mg/L", f"{text} mg/L")
            assert not is_printed(other, text)


def test_what_can_be_read_in_two_ways_is_settled_nowhere_by_itself():
    for text in ("1,000", "1.000"):
        assert normal(text, "value") == text and type_value(text).note
        assert is_printed(1, text) and is_printed(1000, text)
        assert type_value(text, decimal=text[1]).value == 1
    # A record in English: a point is of decimals, a comma may be of either kind.
    assert is_right("number", "1000 mg/L", "1,000 mg/L") and not is_right("number", "1000 mg/L", "1.000 mg/L")
    for text in ("1,2,3", "12'34", "1 2345"):
        assert type_value(text).kind == "text" and normal(text, "value") == text
    assert type_value("1,23,456").value == 123456  # lakhs


def test_a_reply_is_read_as_an_answer_is():
    question = Question("p1", CATEGORIES[0], "free", "date", "?", (), "2021-05-12", None, (3,), ())
    reply = {"answer": "12 mai 2021", "evidence": [3]}
    text = json.dumps(reply)
    assert score([question] * 2, [text, f"```json\n{text}\n```"], 5).mean == 1
    assert score([question], [text[:-1]], 5).malformed == 1


@pytest.mark.parametrize(
    ("page", "written", "right"),
    [
        # The other dates tell that the month stands first, or the day, or nothing does.
        ("Born 05/17/1985\nCollected 11/10/2024 16:16", "11-10-2024 16:16:00", "10-11-2024 16:16:00"),
        ("Born 17/05/1985\nCollected 11/10/2024 16:16", "10-11-2024 16:16:00", "11-10-2024 16:16:00"),
        ("Born 17/05/85\nCollected 11/10/24", "10-11-2024", "11-10-2024"),
        ("Born 05/06/1985\nCollected 11/10/2024 16:16", "11-10-2024 16:16:00", None),
        ("Geboren 05.06.1985\nEntnahme 11.10.2024", "11-10-2024", "11-10-2024"),
        ("Collected 11 Oct 2024", "11-10-2024", "11-10-2024"),
        # The hour is the printed one.
        ("Collected 08/18/2019 3:58 PM", "18-08-2019 03:58:00", "18-08-2019 15:58:00"),
        ("Collected 08/18/2019 12:05 AM", "18-08-2019 12:05:00", "18-08-2019 00:05:00"),
        ("Collected 18/08/2019 15:58", "18-08-2019 15:58:00", "18-08-2019 15:58:00"),
    ],
)
def test_a_date_that_a_model_writes_is_the_one_that_is_printed(page, written, right):
    row = {**dict.fromkeys(ROW), "name": "Sodium", "result": "140", "sample_collection_time": written}
    answer = json.dumps({**dict.fromkeys(HEAD), "tests": [row]})
    contract = CONTRACT.model_copy(update={"style": "objects"})
    record = record_of(document_of(f"{page}\nSodium   140"), Generation(answer, "stop"), contract=contract)
    assert record["tests"][0]["sample_collection_time"].value == (right or written)
    assert [issue.code for issue in record.issues] == ([] if right else ["ambiguous"])


def test_a_date_of_ones_own_schema_is_settled_too():
    schema = {"type": "object", "properties": {"due": {"type": "string", "format": "date"}}, "required": ["due"]}

    def read(page, due):
        return record_of(
            document_of(page), Generation(json.dumps({"due": due}), "stop"), contract=Contract.for_schema(schema)
        )

    settled = read("Issued   25/11/2021\nDue   05/12/2021", "2021-05-12")
    assert settled.data == {"due": "2021-12-05"} and settled.status == "ok"
    assert [issue.code for issue in read("Due   05/12/2021", "2021-05-12").issues] == ["ambiguous"]
    many = " ".join(["Geachte mevrouw, hierbij vindt u onze factuur voor de geleverde boeken en tijdschriften van"] * 2)
    record = read(f"{many}\nVervaldag   05/12/2021", "2021-05-12")
    assert not record.issues and "2021-12-05" in str(record.data)  # the month stands first in English alone
