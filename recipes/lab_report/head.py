"""A report's head, read by its labels: whose it is, of whom, of which sample, its dates and its state.

What stands at a head is printed beside or under one of some three thousand labels (`vocabulary/head.yaml`), and says by
its own form what it is: a day, a number, a name. No model is asked. Two things often have no label: the laboratory,
which stands at the top, and a patient on an envelope's window, above the line with the day of birth.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from extraction.document import Document, Page
from extraction.document.rows import TextRow, gather_rows
from extraction.evidence import PageEvidence
from extraction.values.dates import moments
from extraction.values.signs import PLAIN, is_rtl
from recipes.lab_report.fields import HEAD
from recipes.lab_report.head_labels import (
    DATES,
    SEPARATORS,
    TITLE,
    Token,
    fields_named,
    key,
    labels_of,
    parts,
    table,
)
from recipes.lab_report.lines import names_columns

Box = tuple[float, float, float, float]

GUESSED = 0.85
"""Confidence of what has no label: chosen below `REVIEW_BELOW`, so that a person looks; it was not measured."""
_NUMBERS = ("patient_id", "sample_id")
_NAMES = ("patient_name", "ordered_by", "laboratory")
_NUMBER = re.compile(r"(?:[A-Z]{1,4}[ /-])?[^\W_]*\d[\w./-]*(?: (?:/ )?[\w./-]*\d[\w./-]*)*(?: [A-Z](?= |$))?")
_BOX, _TICKED = re.compile(r"\[ ?[xX✓✗]?\]|[☐☑☒]|\([xX]?\)"), re.compile(r"\[[xX✓✗]\]|[☑☒]|\([xX]\)")
_PARTICLES = frozenset(
    "de del della di da do dos das du van von der den des la le les el al bin bint ibn y e ter ten zu af av und of md"
    " phd dr med".split()
)
_TIME = re.compile(r"\d{1,2}[:.hH]\d\d(?::\d\d)?(?: ?[AaPp]\.?[Mm]\.?)?(?: ?Uhr)?")
_CODE = re.compile(r"[A-Z]{0,3}\d[\d.-]{4,}")
_TEL = re.compile(r"(?:\bt|\btel|\bph|\bfon|\bτηλ|тел|電話|电话|هاتف|ت|טל)[a-zé.]*:? ?[+(\d]", re.I)
_CLOCK = re.compile(r"(?: (?:Uhr|h|uur|hrs))?")
_PLACE = re.compile(
    r"lab|diagnos|hospital|clinic|klini|medical|medisch|pathol|health|hôpital|hopital|ziekenhuis|krankenhaus|spital"
    r"|institut|instytut|ambulator|centr|центр|клини|больниц|лаб|діагн|диагн|εργαστ|κλινικ|νοσοκομ|πολυ[ιϊ]ατρ|διαγν"
    r"|szpital|przychodni|hastane|tahlil|nemocnic|poliklinik|sjukhus|sykehus|sygehus|sairaala|kórház|spital|bolnic"
    r"|مختبر|معمل|معامل|مستشفى|مجمع|مركز|מעבדה|מעבדות|מרפא|בית חולים|医院|检验|實驗|检测中心|诊断|病院|検査|医療"
    r"|クリニック|의원|병원",
    re.I,
)
_HEADLINE = re.compile(
    r"\b(?:report|results?|findings|levels|summary|overview|details?|data|info(?:rmation)?|dossier|gegevens|daten"
    r"|données|datos|dati|dados|test|tests|\w*verslag|uitslag\w*|bevindingen|\w*waarden|\w*werte|synthèse|hallazgos"
    r"|valores|achados|riscontri|ευρήματα|bulguları|заключение|badania|fynd|\w*resultaten|protocol|befund\w*|\w*bericht"
    r"|compte|résultats?|d'analyses|informe|resultados?|laudo|boletim|relatório|referto|esami|analisi cliniche"
    r"|αποτελ\w+|έλεγχος|результат\w*|протокол|sprawozdanie|wyniki|sonu\w+|raporu|nález|výsled\w+|provsvar"
    r"|laboratoriesvar|rapport|fachärzt\w*|facharzt\w*|\w+medizin|pathologist|biologiste|director|pagina|page|seite"
    r"|copy|cumulative|statement|biologie médicale|blood|department|analys\w*)\b"
    r"|報告|报告|結果|结果|تقرير|نتائج|דוח|תוצאות",
    re.I,
)


@dataclass(frozen=True)
class _Line:
    """A line's cells in reading order, each a list of tokens, and the height of the line (points)."""

    page: int
    cells: list[list[Token]]
    y0: float
    y1: float


def read_head(document: Document, evidence: Mapping[tuple[str | int, ...], PageEvidence]) -> dict[str, PageEvidence]:
    """The fields of the head that stand on a document's pages, each as printed where it stands first.

    Args:
        document: the pages of one report.
        evidence: where the values of its rows stand: lines with a result are none of the head.
    """
    found: dict[str, PageEvidence] = {}
    for page in document.pages:
        lines = list(_lines(page, [one for path, one in evidence.items() if path[-1] == "result"]))
        foot = next((n for n, line in enumerate(lines) if line.y0 > 0.8 * page.height), len(lines))
        for field, place in _whole_name(_labelled(lines[:foot])):
            found.setdefault(field, place)
        for field, place in _labelled(lines[foot:]):  # the laboratory's own numbers stand there
            if field in ("received", "reported", "report_status"):
                found.setdefault(field, place)
        if page is document.pages[0]:
            for field, place in (*_envelope(lines), *_unlabelled(lines, page)):
                found.setdefault(field, place)
    return {field: found[field] for field in HEAD if field in found}


def _lines(page: Page, results: Sequence[PageEvidence]) -> Iterator[_Line]:
    """The lines of a page above its results and their titles, and those at its foot."""
    rows = gather_rows(page.words) if page.words else []
    own = [one.box for one in results if one.page == page.number]
    titles = [row.y0 for row in rows if names_columns("  ".join(cell.text for cell in row.cells))]
    first = min([*titles, *(box[1] for box in own)], default=page.height)
    last = max([0.8 * page.height, *(box[3] for box in own)])
    leftwards = sum(is_rtl(cell.text) for row in rows for cell in row.cells) * 2 > sum(len(row.cells) for row in rows)
    for row in rows:
        if row.middle < first or row.middle > last:
            yield _line(page, row, leftwards)


def _line(page: Page, row: TextRow, leftwards: bool) -> _Line:
    cells = []
    for cell in reversed(row.cells) if leftwards else row.cells:
        tokens: list[Token] = []
        for number in cell.words:
            word = page.words[number]
            tokens += parts(Token(word.text.translate(PLAIN), word.box, word.score))
        if tokens:
            cells.append(tokens)
    return _Line(page.number, cells, row.y0, row.y1)


def _whole_name(told: Iterator[tuple[str, PageEvidence]]) -> Iterator[tuple[str, PageEvidence]]:
    """Fields with their places, the two parts of a patient's name put together where each has a label of its own."""
    said = list(told)
    first = {part: next((place for field, place in said if field == part), None) for part in ("surname", "given")}
    one, other = first["surname"], first["given"]
    if one and other and other.text not in one.text:
        x0, y0, x1, y1 = one.box
        box = min(x0, other.box[0]), min(y0, other.box[1]), max(x1, other.box[2]), max(y1, other.box[3])
        one = replace(one, text=f"{one.text}, {other.text}", score=min(one.score, other.score), box=box)
    for field, place in said:
        yield ("patient_name", one or place) if field in first else (field, place)


def labelled_days(document: Document) -> Iterator[tuple[str, frozenset[str], PageEvidence]]:
    """The days that stand beside or below a label on a document's pages: the label, what it may name, the day."""
    for page in document.pages:
        for label, fields, value in _values(list(_lines(page, ()))):
            day = next(iter(moments(_text(value))), None)
            if day:
                yield label, fields, _evidence(_span(value, day.start, day.end), page.number)


def _labelled(lines: Sequence[_Line]) -> Iterator[tuple[str, PageEvidence]]:
    """Fields with what stands beside or below their labels; parts of a patient's name as `given` and `surname`."""
    for label, fields, value in _values(lines):
        part = next((one for one in ("given", "surname") if key(label) in table()[one]), "patient_name")
        for field, own in _told(fields, value, lines[0].page):
            yield (part if field == "patient_name" else field), own


def _values(lines: Sequence[_Line]) -> Iterator[tuple[str, frozenset[str], list[Token]]]:
    """Labels, what they may name, and what stands beside or below them."""
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else None
        for place, cell in enumerate(line.cells):
            labels = labels_of(cell)
            for label, after in pairwise((*labels, None)):
                assert label is not None
                value = cell[label.stop : after.start if after else len(cell)]
                while value and value[-1].text in SEPARATORS:
                    value = value[:-1]
                value = value[value[0].text == ":" :] if value else value
                beside = not value and after is None
                if beside:
                    value = _beside(line, place + 1)
                elif after is None:
                    value = _going_on(value, line, place + 1)
                if not value and beside and below:
                    value = _below(cell[label.start : label.stop], line, below)
                if value:
                    yield _text(cell[label.start : label.stop]).rstrip(" :"), label.fields, value


def _beside(line: _Line, place: int) -> list[Token]:
    """The next cell up to a label in it, with what of it stands in the one behind."""
    if place >= len(line.cells):
        return []
    cell = line.cells[place]
    labels = labels_of(cell)
    value = cell[: labels[0].start] if labels else list(cell)
    value = value[value[0].text == ":" :] if value else value
    return value if labels else _going_on(value, line, place + 1)


def _going_on(value: list[Token], line: _Line, place: int) -> list[Token]:
    """A value with the next cell where that is the day's clock, the rest of the day, or the name behind a title."""
    behind = line.cells[place] if place < len(line.cells) else []
    one, other = _text(value), _text(behind)
    clock = bool(moments(one)) and _TIME.fullmatch(other)
    day = not (moments(one) or moments(other)) and bool(moments(f"{one} {other}"))
    named = TITLE.fullmatch(one) and behind and not labels_of(behind)
    return [*value, *behind] if value and (clock or day or named) else value


def _below(label: Sequence[Token], line: _Line, below: _Line) -> list[Token]:
    """The cell under a label, if it is no label and begins where the label does, or is all within its width."""
    height = line.y1 - line.y0
    if below.y0 - line.y1 > 1.2 * height:
        return []
    x0, x1 = min(token.box[0] for token in label), max(token.box[2] for token in label)
    for number, cell in enumerate(below.cells):
        c0, c1 = min(token.box[0] for token in cell), max(token.box[2] for token in cell)
        before = labels_of(below.cells[number - 1]) if number else []
        labelled = bool(before) and before[-1].stop == len(below.cells[number - 1])  # the label beside it
        if (abs(c0 - x0) < 4 or abs(c1 - x1) < 4 or (x0 <= c0 and c1 <= x1)) and not (labelled or labels_of(cell)):
            return cell
    return []


def _text(tokens: Sequence[Token]) -> str:
    return " ".join(token.text for token in tokens)


def _told(fields: Collection[str], value: Sequence[Token], page: int) -> Iterator[tuple[str, PageEvidence]]:
    """The field among those that a label may name which a value can be, with the part of the value that is it."""
    text = _text(value)
    if key(text) in table()["nothing"]:
        return
    days = [field for field in DATES if field in fields]
    if "age_and_sex" in fields or "sex" in fields:
        if sex := _sex(value):
            yield "sex", _evidence(sex, page)
        return
    day = next(iter(moments(text)), None)
    if days and day and not text[: day.start].strip(" (°*"):
        hour = _CLOCK.match(text[day.end :])
        yield days[0], _evidence(_span(value, day.start, day.end + (hour.end() if hour else 0)), page)
        return
    if days:
        fields = [field for field in fields if field not in days]
    for field in fields:
        if own := _of_kind(field, value, text):
            yield field, _evidence(own, page)
            return


def _of_kind(field: str, value: Sequence[Token], text: str) -> list[Token]:
    """The part of a value that is what a field asks for; nothing where it is of another kind."""
    if field in _NUMBERS:
        number = _NUMBER.match(text.lstrip("*"))
        shift = len(text) - len(text.lstrip("*"))
        if number and not moments(number[0]) and " - " not in number[0]:
            return _span(value, shift, shift + number.end())
    elif field == "report_status":
        words = [key(token.text) for token in value if any(map(str.isalpha, token.text))]
        known = key(text) in table()["statuses"] or any(word in table()["statuses"] for word in words)
        if words and len(value) <= 4 and not any(map(str.isdigit, text)) and (known or len(words) == 1):
            return list(value)
    elif field in _NAMES:
        end = re.search(r"[\d(°|]|  |, ?(?=\d)|$", text)
        assert end
        name = text[: end.start()].rstrip(" ,;-/")
        if sum(map(str.isalpha, name)) > 1 and len(name.split()) < 9 and _is_name(name):
            return _span(value, 0, len(name))
    return []


def _is_name(text: str) -> bool:
    """Whether words can be a name: no label, no word of a headline alone, and none in small letters but particles."""
    words = re.findall(r"[^\W\d_]+", text)
    small = [
        word
        for word in re.findall(r"[^\W\d_]+(?![\w.])", text)
        if word.islower() and word not in _PARTICLES and len(word) > 1
    ]
    headline = all(_HEADLINE.fullmatch(word) or word in _PARTICLES for word in words)
    return bool(words) and not small and not headline and not fields_named(text)


def _sex(value: Sequence[Token]) -> list[Token]:
    """The word of a value that is a sex; of boxes to tick, the one that is ticked."""
    texts = [token.text for token in value]
    if any(_BOX.fullmatch(text) or text == "[" for text in texts):
        ticked = next((n for n, text in enumerate(texts) if _TICKED.fullmatch(text)), len(texts))
        value = value[ticked + 1 : ticked + 2]
    for token in value:
        for part in re.finditer(r"[^\W\d_][\w.-]*", token.text):
            if key(part[0]) in table()["sexes"]:
                return _span([token], part.start(), part.end())
    return []


def _span(tokens: Sequence[Token], start: int, end: int) -> list[Token]:
    """The tokens of a part of their text, the first and the last cut where it begins and ends."""
    found, at = [], 0
    for token in tokens:
        low, high = max(start - at, 0), min(end - at, len(token.text))
        if low < high and token.text[low:high].strip():
            x0, y0, x1, y1 = token.box
            step = (x1 - x0) / len(token.text)
            box = token.box if high - low == len(token.text) else (x0 + low * step, y0, x0 + high * step, y1)
            found.append(Token(token.text[low:high], box, token.score))
        at += len(token.text) + 1
    return found


def _evidence(tokens: Sequence[Token], page: int, confidence: float = 1.0) -> PageEvidence:
    boxes = [token.box for token in tokens]
    box = min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)
    return PageEvidence(_text(tokens), min(token.score for token in tokens) * confidence, page=page, box=box)


def _envelope(lines: Sequence[_Line]) -> Iterator[tuple[str, PageEvidence]]:
    """A patient without a label: the first line of the block that the day of birth stands in."""
    for number, line in enumerate(lines):
        for cell in line.cells:
            text = _text(cell)
            day = next(iter(moments(text)), None)
            if not day:
                continue
            labels, behind = labels_of(cell), _span(cell, day.end, len(text))
            if labels and not (labels[0].start == 0 and "birth_date" in labels[0].fields):
                continue
            if not labels:
                sex = _sex(behind)
                if text[: day.start].strip(" *(") not in ("", "°") or not ("°" in text[: day.start] or sex):
                    continue
                yield "birth_date", _evidence(_span(cell, day.start, day.end), line.page, GUESSED)
                if sex:
                    yield "sex", _evidence(sex, line.page, GUESSED)
            if name := _first_of_block(cell, lines[: number + 1]):
                yield "patient_name", _evidence(name, line.page, GUESSED)
            return


def _first_of_block(cell: Sequence[Token], lines: Sequence[_Line]) -> list[Token]:
    """The name in the first of the lines right above each other that begin, or end, where a cell of the last does."""
    left, right = min(token.box[0] for token in cell), max(token.box[2] for token in cell)
    last, top = lines[-1], None
    for above in reversed(lines[:-1][-7:]):
        if last.y0 - above.y1 > 0.8 * (last.y1 - last.y0):
            break
        edges = [(min(t.box[0] for t in one), max(t.box[2] for t in one), one) for one in above.cells]
        own = [one for x0, x1, one in edges if abs(x0 - left) < 3 or (abs(x1 - right) < 3 and is_rtl(_text(one)))]
        if not own:
            continue
        text = _text(own[0])
        if not any(map(str.isdigit, text)) and (_HEADLINE.search(text) or _PLACE.search(text)):
            break
        last = above
        if not labels_of(own[0]):
            top = own[0]
    if top is None or any(map(str.isdigit, _text(top))):
        return []
    return _of_kind("patient_name", top, _text(top))


def _unlabelled(lines: Sequence[_Line], page: Page) -> Iterator[tuple[str, PageEvidence]]:
    """The laboratory at a page's top or foot, a doctor by the title, a state or number that stands alone."""
    for line in lines:
        if line.y0 > 0.4 * page.height:
            break
        for cell in line.cells:
            text = _text(cell)
            if TITLE.match(text) and not labels_of(cell) and (own := _of_kind("ordered_by", cell, text)):
                yield "ordered_by", _evidence(own, page.number, GUESSED)
            if key(text) in table()["statuses"] and not _HEADLINE.search(text):
                yield "report_status", _evidence(cell, page.number, GUESSED)
            code = text.strip("*")
            if (
                len(cell) == len(line.cells) == 1
                and _CODE.fullmatch(code)
                and sum(map(str.isdigit, code)) > 5
                and not moments(code)
            ):
                shift = text.index(code)
                yield "sample_id", _evidence(_span(cell, shift, shift + len(code)), page.number, GUESSED)
    if own := _laboratory(lines, page.height):
        yield "laboratory", _evidence(own, page.number, GUESSED)


def _laboratory(lines: Sequence[_Line], height: float) -> list[Token]:
    """The name with an address or telephone number below or behind it: the largest at the top, else at the foot."""
    found: list[tuple[float, list[Token]]] = []
    for number, line in enumerate(lines):
        top = line.y0 < 0.22 * height
        for cell in line.cells if top or line.y0 > 0.8 * height else ():
            text = _text(cell)
            part = re.split(r" (?:[-–|·]|- ) (?=[^-–|·]*\d)", text)[0].rstrip(" ,:")
            own = _span(cell, 0, len(part))
            numbered = any(map(str.isdigit, part)) and not (number == 0 and _PLACE.match(part) and not moments(part))
            if sum(map(str.isalpha, part)) < 4 or numbered or len(own) > 10:
                continue
            if (
                fields_named(part)
                or _HEADLINE.search(part)
                or any(label.colon for label in labels_of(own))
                or TITLE.match(part)
            ):
                continue
            place, within = bool(_PLACE.search(part)), len(part) < len(text.rstrip(" ,:"))
            addressed = within or _addressed(cell, lines[number + 1 : number + 4])
            named = place and (addressed or len(own) > 1)
            if (named or (number == 0 and addressed)) if top else (place and within):
                size = max(token.box[3] - token.box[1] for token in own)
                found.append((size + 2 * place + 2 * addressed - (0 if top else 50), own))
    return max(found, key=lambda one: one[0])[1] if found else []


def _addressed(cell: Sequence[Token], below: Sequence[_Line]) -> bool:
    """Whether an address stands right below a cell: a line with a number, on one of its edges or about its middle."""
    x0, x1 = min(token.box[0] for token in cell), max(token.box[2] for token in cell)
    for line in below:
        for other in line.cells:
            o0, o1 = min(token.box[0] for token in other), max(token.box[2] for token in other)
            aligned = abs(o0 - x0) < 3 or abs(o1 - x1) < 3 or abs(o0 + o1 - x0 - x1) < 6
            text = _text(other)
            if (
                aligned
                and any(map(str.isdigit, text))
                and not moments(text)
                and (_TEL.search(text) or not labels_of(other))
            ):
                return True
    return False
