"""Answers to look at: in the terminal, and as a page with the record beside them."""

from __future__ import annotations

import html
from collections.abc import Sequence

from recipes.ehr_qa.answer import Answer
from recipes.ehr_qa.operations import number
from recipes.ehr_qa.query import Result
from recipes.ehr_qa.records import PatientRecord

_MOST = 8  # lines shown under an answer in the terminal
_BARS = "▁▂▃▄▅▆▇█"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; color: #1b1f24; display: grid; height: 100vh;
  grid-template-columns: minmax(20rem, 2fr) 3fr }
main, ol { overflow-y: auto; margin: 0; padding: 1rem 1.5rem }
ol { background: #f6f8fa; padding-left: 4rem; font-size: 13px } li:target { outline: 2px solid #0969da }
li.cited { background: #fff8c5 } li.heading { font-weight: 600; margin-top: .8rem }
h1 { font-size: 1.3rem } section { border-top: 1px solid #d8dee4; padding: .6rem 0 }
h2 { font-size: 1rem; margin: 0 } .said { font-size: 1.05rem }
.note { color: #57606a; font-size: 13px; margin: .2rem 0 }
.issue { color: #9a3412 } a { color: #0969da; text-decoration: none; margin-right: .4rem }
@media (max-width: 50rem) { body { display: block; height: auto } }
"""


def sparkline(values: Sequence[float]) -> str:
    """Values one after the other as bars of eight heights; empty for fewer than two."""
    if len(values) < 2:
        return ""
    low, span = min(values), max(values) - min(values)
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 3] for value in values)


def told(answer: Answer, most: int = _MOST) -> str:
    """An answer as text: the question, the sentence, what to know of it, the lines that say so."""
    out = [answer.question, f"  {answer.said}"]
    if bars := _bars(answer):
        out.append(f"  {bars}")
    out += [f"  {number}: {text}" for number, text in list(answer.lines.items())[:most]]
    if len(answer.lines) > most:
        out.append(f"  and {len(answer.lines) - most} more lines (--json has all).")
    return "\n".join([*out, *(f"  {note}" for note in notes(answer))])


def cohort(records: Sequence[PatientRecord], answers: Sequence[Answer]) -> str:
    """The answers to one question of several patients: a line each, those with an answer first."""
    lines = [
        (answer.answer in (None, False, []), "\n    ".join([f"  {record.patient}  {answer.said}", *answer.notes]))
        for record, answer in zip(records, answers, strict=True)
    ]
    known = notes(answers[0])[: len(notes(answers[0])) - len(answers[0].notes)]
    yes = [answer for answer in answers if answer.answer is True]
    told = [f"{len(yes)} of {len(answers)} patients."] * any(answer.parts for answer in answers)
    return "\n".join(
        [answers[0].question, *(f"  {note}" for note in (*known, *told)), *(line for _, line in sorted(lines))]
    )


def notes(answer: Answer) -> list[str]:
    """What to know of an answer, doubts first."""
    said = answer.understood
    understood = [f"Understood as: {said}."] if said else ["Read by the model."] * (not answer.issue)
    return [*([answer.issue] if answer.issue else []), *understood, *answer.notes]


def result_told(result: Result) -> str:
    """The answer to a typed question as text."""
    lines = dict.fromkeys(f"  {item.line}: {item.text}" for item in result.items)
    return "\n".join([result.said, *lines, *(f"  {note}" for note in result.notes)])


def page(record: PatientRecord, answers: Sequence[Answer]) -> str:
    """One self-contained HTML page: the answers, and the record with the lines that say so marked."""
    cited = {number for answer in answers for number in answer.lines}
    lines = "".join(
        f'<li id=L{n} class="{"heading" if line.resource is None else "cited" if n in cited else ""}">'
        f"{html.escape(line.text)}</li>"
        for n, line in enumerate(record.lines, 1)
    )
    told = "".join(_section(answer) for answer in answers)
    head = f"<meta charset=utf-8><title>{html.escape(record.patient)}</title><style>{_STYLE}</style>"
    title = html.escape(record.lines[0].text)
    return f"<!doctype html><html lang=en>{head}<main><h1>{title}</h1>{told}</main><ol>{lines}</ol></html>"


def _section(answer: Answer) -> str:
    links = "".join(f"<a href=#L{number}>{number}</a>" for number in answer.lines)
    known = "".join(
        f'<p class="note{" issue" * (note == answer.issue)}">{html.escape(note)}</p>' for note in notes(answer)
    )
    bars = f"<p>{_bars(answer)}</p>" if _bars(answer) else ""
    said = f"<p class=said>{html.escape(answer.said)}</p>{bars}<p>{'Lines ' * bool(links)}{links}</p>"
    return f"<section><h2>{html.escape(answer.question)}</h2>{said}{known}</section>"


def _bars(answer: Answer) -> str:
    """A trend of one thing in one unit, drawn."""
    if not answer.result or answer.result.query.operation != "trend":
        return ""
    amounts = [(item.name, number(item.value)) for item in answer.result.items]
    if len({(name, found[1]) for name, found in amounts if found}) != 1:
        return ""
    return sparkline([float(found[0]) for _, found in amounts if found])
