"""Score `assay answer` on questions over all operations of a query, with answers computed from the bundles' own JSON.

    .venv/bin/python scripts/score_answers.py FOLDER [--model ADAPTER] [--reader ehr-qa-270m] [--each 2] [--json FILE]

FOLDER holds FHIR bundles of one patient each; bundles of hospitals and practitioners beside them serve all. The truth
is computed here from the resources, by no code of the recipes, and the wordings are in no table that anything is
trained on. An answer is right with its value and, where it has one, its day; what the record does not have is right as
"not found". What is wrong is told apart: said with a doubt (or not at all), or without one. With --reader the same
questions are also read, all of a patient's at once, and each way has its figures.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

WORDINGS = {
    "latest": ["{name}, newest result?", "could you look up the current {name}"],
    "first": ["what was {name} at the very beginning of the chart", "the initial {name}, when and how much?"],
    "maximum": ["peak {name} so far", "how high did {name} ever get"],
    "minimum": ["how low did {name} ever get", "nadir of {name}"],
    "count": ["number of {name} results on file", "how often has {name} been checked"],
    "on a day": ["{name} as of {date}?", "pull up {name} dated {date}"],
    "has condition": ["does this patient have a history of {name}", "was {name} ever diagnosed"],
    "onset": ["when did {name} begin", "since when does the patient have {name}"],
    "takes": ["still taking {name}?", "is {name} a current medication"],
    "prescriber": ["whose prescription is {name}", "which doctor ordered {name}"],
    "prescribed": ["date {name} was prescribed most recently", "last time {name} was prescribed"],
    "prescriptions": ["how many prescriptions of {name} are there"],
    "vaccine": ["when was the patient last vaccinated with {name}", "date of the most recent {name} vaccination"],
    "vaccines": ["how many doses of {name} were given"],
    "procedure": ["on which day was {name} last done"],
    "visits": ["how many encounters are in here"],
    "born": ["patient's date of birth"],
}


STATES = ("right", "doubted", "wrong")


class Asked(NamedTuple):
    """A question with its truth: a number, a text, a count, a day, yes; None where the record has nothing of it."""

    kind: str
    text: str
    truth: Any
    day: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/score_answers.py", description="Score answers on health records.")
    parser.add_argument("folder", type=Path, help="bundles of one patient each")
    parser.add_argument("--model", default="ehr-query-270m", help="an adapter or merged model of the recipe ehr_query")
    parser.add_argument("--reader", help="ask also this model of the recipe ehr_qa, which reads the records")
    parser.add_argument("--each", type=int, default=2, help="questions of each kind a patient")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    from extraction.errors import run_command

    run_command(lambda: run(arguments.folder, arguments.model, arguments.reader, arguments.each, arguments.json))


def run(folder: Path, model: str, reader: str | None, each: int, out: Path | None) -> None:
    from extraction.files import write_whole
    from recipes.ehr_qa.answer import Answerer
    from recipes.ehr_qa.records import read_records
    from recipes.ehr_query.ask import Asker

    records = {record.patient: record for record in read_records(folder)}
    asked = {name: list(questions(own, each, random.Random(name))) for name, own in patients(folder)}
    asker = Asker.from_pretrained(model)
    ways = {"query": lambda record, texts: [answer for text in texts for answer in asker.ask(record, [text])]}
    if reader:
        answerer = Answerer.from_pretrained(reader)
        ways["reading"] = answerer.answer_record
    figures = {}
    for way, ask in ways.items():
        found: dict[str, list[str]] = defaultdict(list)
        seconds = 0.0
        for name, own in asked.items():
            start = time.perf_counter()
            answers = ask(records[name], [question.text for question in own])
            seconds += time.perf_counter() - start
            for question, answer in zip(own, answers, strict=True):
                state = state_of(question, answer)
                found[question.kind].append(state)
                if state != "right":
                    truth, told = f"{question.truth} {question.day}", answer.said[:150]
                    print(f"{way}, {state}: {question.text} | {truth} | {told} | {answer.query}")
        states = {**found, "all": [state for states in found.values() for state in states]}
        kinds = {kind: {state: own.count(state) for state in STATES} for kind, own in states.items()}
        total = len(states["all"])
        figures[way] = {"right": kinds["all"]["right"] / total, "kinds": kinds, "seconds": seconds / total}
    for kind in figures["query"]["kinds"]:
        rows = (f"{way}: " + "  ".join(f"{state} {count:3}" for state, count in own["kinds"][kind].items())
                for way, own in figures.items())  # fmt: skip
        print(f"{kind:16}" + "    ".join(rows))
    for way, own in figures.items():
        print(f"{way}: right: {own['right']:.3f}; seconds a question {own['seconds']:.2f}")
    if out:
        write_whole(out, json.dumps(figures, indent=1))


def patients(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each bundle's patient and resources; references to practitioners have their names."""
    bundles = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    entries = [bundle["entry"] for bundle in bundles]
    names: dict[str, str] = {}
    for entry in (entry for own in entries for entry in own):
        resource = entry["resource"]
        if resource["resourceType"] == "Practitioner":
            names[entry["fullUrl"]] = names[f"Practitioner/{resource['id']}"] = resource["name"][0]["family"]
    for own in entries:
        resources = [entry["resource"] for entry in own]
        for resource in resources:
            reference = resource.get("requester", {}).get("reference")
            resource["by"] = names.get(reference) or re.sub(r"\d", "", resource.get("requester", {}).get("display", ""))
        for resource in resources:
            if resource["resourceType"] == "Patient":
                yield resource["id"], resources


def questions(resources: list[dict[str, Any]], each: int, rng: random.Random) -> Iterator[Asked]:
    """Questions on a patient's resources."""

    def some(found: Any) -> list[Any]:
        listed = sorted(found)
        return rng.sample(listed, min(each, len(listed)))

    def worded(kind: str, truth: Any, day: str = "", **slots: str) -> Asked:
        return Asked(kind, rng.choice(WORDINGS[kind]).format(**slots), truth, day)

    by_type: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for resource in resources:
        by_type[resource["resourceType"]].append(resource)
    values: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for one in by_type["Observation"]:
        if "valueQuantity" in one:
            values[name_of(one["code"])].append((one["effectiveDateTime"], one["valueQuantity"]["value"]))
    for name in some(name for name, own in values.items() if len(own) > 1):
        own = sorted(values[name])
        low, high = min(value for _, value in own), max(value for _, value in own)
        yield worded("latest", own[-1][1], own[-1][0][:10], name=name)
        yield worded("first", own[0][1], own[0][0][:10], name=name)
        yield worded("maximum", high, name=name)
        yield worded("minimum", low, name=name)
        yield worded("count", len(own), name=name)
        day, value = rng.choice(own)
        if sum(when[:10] == day[:10] for when, _ in own) == 1:
            yield worded("on a day", value, day[:10], name=name, date=day[:10])
    onset: dict[str, list[str]] = defaultdict(list)
    for one in by_type["Condition"]:
        onset[name_of(one["code"])].append(one["onsetDateTime"])
    for name in some(onset):
        yield worded("has condition", True, name=name)
        if len(onset[name]) == 1:
            yield worded("onset", onset[name][0][:10], name=name)
    for name in some({"Gout", "Chronic obstructive bronchitis", "Malignant tumor of colon", "Rubella"} - onset.keys()):
        yield worded("has condition", None, name=name)
    drugs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in by_type["MedicationRequest"]:
        if "medicationCodeableConcept" in one:
            drugs[name_of(one["medicationCodeableConcept"])].append(one)
    for name in some(drugs):
        own = sorted(drugs[name], key=lambda one: one["authoredOn"])
        yield worded("takes", any(one["status"] == "active" for one in own), name=name)
        yield worded("prescribed", own[-1]["authoredOn"][:10], name=name)
        yield worded("prescriptions", len(own), name=name)
        if own[-1]["by"]:
            yield worded("prescriber", re.sub(r"\d", "", own[-1]["by"]), name=name)
    doses: dict[str, list[str]] = defaultdict(list)
    for one in by_type["Immunization"]:
        doses[name_of(one["vaccineCode"])].append(one["occurrenceDateTime"][:10])
    for name in some(doses):
        yield worded("vaccine", max(doses[name]), name=name)
        yield worded("vaccines", len(doses[name]), name=name)
    done: dict[str, list[str]] = defaultdict(list)
    for one in by_type["Procedure"]:
        done[name_of(one["code"])].append(one["performedPeriod"]["start"][:10])
    for name in some(done):
        yield worded("procedure", max(done[name]), name=name)
    yield worded("visits", len(by_type["Encounter"]))
    yield worded("born", by_type["Patient"][0]["birthDate"])


def name_of(concept: dict[str, Any]) -> str:
    """The text of a concept, without SNOMED's tag."""
    text = concept.get("text") or concept["coding"][0]["display"]
    return re.sub(r" \((?:disorder|procedure|finding|situation)\)$", "", text)


def state_of(asked: Asked, answer: Any) -> str:
    """What an answer is, one of `STATES`; an answer with a doubt, or none, is no false one."""
    return "right" if is_right(asked, answer) else "doubted" if answer.issue or answer.answer is None else "wrong"


def is_right(asked: Asked, answer: Any) -> bool:
    """Whether an answer says the truth, and the day where there is one; what was read says it with its lines."""
    truth, told = asked.truth, answer.answer
    if truth is None:
        return told is None and not answer.withheld
    if isinstance(truth, bool):
        return told is truth or told == ("yes" if truth else "no")
    said = answer.said if answer.query else " ".join([answer.said, *answer.lines.values()])
    if told is None or asked.day not in said:
        return False
    if isinstance(truth, int):
        return str(told) == str(truth)
    if isinstance(truth, float):
        # A yes that tells the value and its day says it, too.
        texts = (
            re.findall(r": ([-+]?\d\S*)", answer.said) if told is True else told if isinstance(told, list) else [told]
        )
        numbers = [re.match(r"[-+]?\d+(?:\.\d+)?", str(text)) for text in texts]
        return any(number and abs(float(number[0]) - truth) <= 5e-4 * max(1.0, abs(truth)) for number in numbers)
    return str(truth) in answer.said


if __name__ == "__main__":
    sys.exit(main())
