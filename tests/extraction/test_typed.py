import re
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.evidence.evidence import Evidence
from extraction.record.record import Field
from extraction.values.dates import moments
from extraction.values.typed import Typed, type_range, type_value

DIGITS = re.compile(r"[0-9]")


def shown(typed):
    """What a typed value says, in short."""
    if typed.kind == "number":
        return f"{typed.comparator}{typed.value:f}" + (f" {typed.unit}" if typed.unit else "")
    if typed.kind == "range":
        low = "" if typed.low is None else f"{typed.low:f}{'' if typed.low_inclusive else '<'}"
        high = "" if typed.high is None else f"{'' if typed.high_inclusive else '<'}{typed.high:f}"
        return f"{low}..{high}" + (f" {typed.unit}" if typed.unit else "")
    return {"ordinal": typed.grade, "date": typed.date, "text": "raw" if typed.note else "text"}.get(
        typed.kind, f"{typed.comparator}1:{typed.value}"
    )


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("<0,01", "<0.01"),
        ("≤ 5", "<=5"),
        ("> 1000", ">1000"),
        (">=60", ">=60"),
        ("~3.5", "~3.5"),
        ("-4.2", "-4.2"),
        ("4.2mmol/L", "4.2 mmol/L"),
        ("12 %", "12 %"),
        ("5.10", "5.10"),
        ("2-4 /HPF", "2..4 /HPF"),
        ("1+", "1+"),
        ("+++", "3+"),
        ("(+)", "(1+)"),
        ("+/-", "+/-"),
        ("Trace", "text"),
        ("Negative", "text"),
        ("3.5 - 5.1", "3.5..5.1"),
        ("[3,5-5,1]", "3.5..5.1"),
        ("(37,0 – 47,0)", "37.0..47.0"),
        ("-3 - 3 mmol/L", "-3..3 mmol/L"),
        ("3 à 5", "3..5"),
        ("up to 40", "..40"),
        ("bis 40 U/L", "..40 U/L"),
        ("tot 40", "..40"),
        ("jusqu’à 40", "..40"),
        ("hasta 40", "..40"),
        ("fino a 40", "..40"),
        ("Inf. à 7,7", "..<7.7"),
        ("über 40", "40<.."),
        ("1.234,5", "1234.5"),
        ("1,234.5", "1234.5"),
        ("1,234,567", "1234567"),
        ("1 234,5", "1234.5"),
        ("12 500", "12500"),
        ("12'500.5", "12500.5"),
        ("0.125", "0.125"),
        ("1.5e3", "1500"),
        ("10^3", "1000"),
        ("1.5 x 10⁹/L", "1500000000 /L"),
        ("250 x 1.000/µL", "250000 /μL"),
        (">10^5 UFC/mL", ">100000 UFC/mL"),
        ("1:40", "1:40"),
        ("<1:80", "<1:80"),
        ("2022-04-03", "2022-04-03"),
        ("13/04/2022", "2022-04-13"),
        ("04/04/2022", "2022-04-04"),
        ("3 Mar 2022 07:05", "2022-03-03T07:05"),
        ("28 septembre 2019 à 09h58", "2019-09-28T09:58"),
        ("Sep 28, 2019 09:58 PM", "2019-09-28T21:58"),
        ("2,25,000", "225000"),
        ("1,25,00,000.5", "12500000.5"),
        ("1,5·10⁹/л", "1500000000 /л"),
        ("4,1 х 10^12/л", "4100000000000 /л"),
        ("5,2 ммоль/л", "5.2 ммоль/л"),
        ("145 High", "145"),
        ("12 % low", "12 %"),
        ("7,2 ↑↑", "7.2"),
        ("5.9 偏高", "5.9"),
        ("٥٫٢", "5.2"),
        ("٢٥٠", "250"),
        ("１２．５", "12.5"),
        ("３．５－５．１", "3.5..5.1"),
        ("3 Μαρτίου 2022 07:05", "2022-03-03T07:05"),
        ("3 Ιουλ 2022", "2022-07-03"),
        ("28 сентября 2019 г. 09:58", "2019-09-28T09:58"),
        ("28.09.2019 г.", "2019-09-28"),
        ("28 септември 2019 г.", "2019-09-28"),
        ("28 вересня 2019 р.", "2019-09-28"),
        ("28 września 2019 r. godz. 09:58", "2019-09-28T09:58"),
        ("3 października 2022", "2022-10-03"),
        ("3 de março de 2022", "2022-03-03"),
        ("3-out-2022", "2022-10-03"),
        ("3 Ağustos 2022", "2022-08-03"),
        ("3 Kasım 2022", "2022-11-03"),
        ("3. června 2022", "2022-06-03"),
        ("3. července 2022", "2022-07-03"),
        ("3 maj 2022", "2022-05-03"),
        ("3 أغسطس 2022", "2022-08-03"),
        ("٣ مارس ٢٠٢٢", "2022-03-03"),
        ("3 ביולי 2022", "2022-07-03"),
        ("2022年4月3日", "2022-04-03"),
        ("2022年04月03日 09:58", "2022-04-03T09:58"),
        ("２０２２年４月３日", "2022-04-03"),
        ("令和4年4月3日", "2022-04-03"),
        ("令和元年5月1日", "2019-05-01"),
        # What can mean two things, or none, stays raw.
        ("2,25,00", "raw"),
        ("2022年13月3日", "raw"),
        ("1,000", "raw"),
        ("1.000", "raw"),
        ("1.000 - 2.000", "raw"),
        ("03/04/2022", "raw"),
        ("03/04/22", "raw"),
        ("31/02/2022", "raw"),
        ("20220403", "raw"),
        ("5 - 3", "raw"),
        ("5.0 H", "raw"),
        ("120/80", "raw"),
        ("12:30", "raw"),
        ("1.2.3", "raw"),
        ("Men: 3-5", "raw"),
        ("<5 - 10", "raw"),
        ("", "text"),
    ],
)  # fmt: skip
def test_what_printed_values_mean(text, meaning):
    typed = type_value(text)
    assert shown(typed).replace("µ", "μ") == meaning
    assert typed.raw == text


def test_a_known_decimal_mark_decides():
    assert type_value("1,000", decimal=".").value == 1000
    assert type_value("1,000", decimal=",").value == Decimal("1.000")
    assert type_value("150.000 /µL", decimal=",").value == 150000
    assert type_value("1.5", decimal=",").note
    assert type_value("1.000 - 2.000", decimal=",").high == 2000


def test_a_known_order_of_dates_decides():
    assert type_value("03/04/2022", order="DMY").date == "2022-04-03"
    assert type_value("03/04/2022", order="MDY").date == "2022-03-04"
    assert type_value("13/04/2022", order="MDY").note
    assert type_value("2022-04-13", order="DMY").date == "2022-04-13"


def test_a_limit_is_a_range_with_an_open_end():
    below = type_range("< 5,0")
    assert (below.kind, below.low, below.high, below.high_inclusive) == ("range", None, Decimal("5.0"), False)
    above = type_range("≥ 60 mL/min")
    assert (above.low, above.high, above.low_inclusive, above.unit) == (60, None, True, "mL/min")
    assert type_range("3.5 - 5.1") == type_value("3.5 - 5.1")


def test_dates_in_a_text():
    found = moments("Collected 28/09/2019 09:58, printed 01-10-2019 at 25:00; ratio 1/2, version 1.2.2019.4")
    assert [moment.readings.get("DMY") for moment in found] == [(2019, 9, 28), (2019, 10, 1)]
    assert [moment.time for moment in found] == [(9, 58, None), None]
    assert moments("12.03.99")[0].days == {(2099, 3, 12), (1999, 3, 12), (2099, 12, 3), (1999, 12, 3)}


@given(st.text(alphabet=st.characters() | st.sampled_from("0123456789.,-+<>≤ /:()x^eE'%HLm⁹µ"), max_size=40))
def test_never_raises_and_never_invents(text):
    typed = type_value(text)
    assert typed.raw == text
    printed = "".join(DIGITS.findall(text.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))))
    for number in (typed.value, typed.low, typed.high):
        if number is not None:
            digits = "".join(map(str, number.as_tuple().digits))
            # A bare power of ten is the one number that is not printed as its digits.
            assert digits.lstrip("0") in printed or digits == "1"


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=3, allow_nan=False).map(lambda value: round(value, 3))
    | st.decimals(min_value=0, max_value=10**6, places=1),
    st.sampled_from(["", "<", "<=", ">", ">=", "~"]),
    st.sampled_from([("", "."), (",", "."), (".", ","), (" ", ","), ("'", ".")]),
    st.sampled_from(["", "mmol/L", "%", "g/dL", "/HPF"]),
)
def test_a_printed_number_is_read_back(value, comparator, marks, unit):
    thousands, decimal = marks
    text = f"{value:,f}".replace(",", "T").replace(".", decimal).replace("T", thousands)
    typed = type_value(f"{comparator} {text} {unit}".strip(), decimal=decimal)
    assert typed.kind == "number", typed.note
    assert (typed.value, typed.comparator, typed.unit) == (value, comparator, unit)
    assert f"{typed.value:f}" == f"{value:f}"
    unsure = type_value(text)
    assert unsure.note or unsure.value == value


@given(
    st.decimals(0, 1000, places=2),
    st.decimals(0, 1000, places=2),
    st.sampled_from(["-", " - ", " – ", " to ", " tot "]),
)
def test_a_printed_range_is_read_back(a, b, dash):
    low, high = sorted((a, b))
    typed = type_value(f"{low}{dash}{high}")
    assert (typed.kind, typed.low, typed.high) == ("range", low, high)


@given(
    st.dates(min_value=date(1900, 1, 1)),
    st.sampled_from([("DMY", "%d{0}%m{0}%Y"), ("MDY", "%m{0}%d{0}%Y")]),
    st.sampled_from("-/."),
)
def test_a_printed_date_is_read_back_or_left(day, form, mark):
    order, pattern = form
    text = day.strftime(pattern.format(mark))
    assert type_value(text, order=order).date == day.isoformat()
    assert type_value(text).date in ("", day.isoformat())
    assert type_value(day.isoformat()).date == day.isoformat()
    assert type_value(day.strftime("%d %B %Y")).date == day.isoformat()


def test_typed_values_are_plain_data():
    assert type_value("4.2") == Typed("number", "4.2", value=Decimal("4.2"))
    assert isinstance(type_value("4.2").value, Decimal)


@pytest.mark.parametrize(("value", "printed", "day"), [
    ("01-07-2026", "2026-07-01", "2026-07-01"), ("11-08-2017 19:21:00", "11-Aug-2017 19:21", "2017-08-11T19:21"),
    ("01-07-2026", "01/07/2026", ""), ("17-04-2026", "17/04/2026", "2026-04-17"), ("17-04-2026", None, "2026-04-17"),
])  # fmt: skip
def test_a_time_means_what_is_printed(value, printed, day):
    evidence = Evidence(printed) if printed else None
    typed = Field(value, "/at", 0.9, evidence, "time").typed
    assert typed.date == day and (typed.kind == "date") == bool(day)
