"""FHIR files in, resources out: what is read, what is refused, and how a reference finds its resource."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any
from xml.etree.ElementTree import ParseError

from extraction.errors import AssayError
from extraction.folder import is_hidden
from finetune.processes import say
from recipes.ehr_qa.xml import read_xml

WHOLE, LINES = (".json", ".xml"), (".ndjson", ".jsonl")

# Resources that may stand in several bundles and belong to no patient.
SHARED = {"Organization", "Practitioner", "PractitionerRole", "Location", "Medication", "HealthcareService"}


OWN = "questions.jsonl"  # no FHIR: what is asked of the bundles beside it (`own.py`)


class FhirError(AssayError):
    """A file that is not what can be read here: not FHIR, another version, ids twice, not one patient."""


def at(value: Any, *path: str | int) -> Any:
    """What stands under a path of keys and positions; None where the path breaks off or the shape is another.

    What is no list is one of one item: XML does not tell them apart.
    """
    for step in path:
        if isinstance(step, int):
            items = value if isinstance(value, list) else [value]
            value = items[step] if step < len(items) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def each(value: Any, *path: str | int) -> list[Any]:
    """The list under a path, one item as a list of one; empty where there is none."""
    found = at(value, *path)
    return found if isinstance(found, list) else [] if found is None else [found]


@dataclass
class Bundle:
    """Resources that came together: a bundle's file, or the NDJSON files of one export.

    Attributes:
        name: the file's or folder's name, for messages.
        resources: by `Type/id`.
        urls: a bundle's `fullUrl` to `Type/id`.
        export: it is NDJSON, which may hold many patients.
        part: what is said where it is only one page of a search; empty where it is whole.
    """

    name: str
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    export: bool = False
    part: str = ""

    def add(self, resource: Any, url: Any = None) -> None:
        """Take in one resource.

        Raises:
            FhirError: it is no FHIR resource, or its id is there already.
        """
        kind = at(resource, "resourceType")
        if not isinstance(kind, str) or not kind:
            raise FhirError(f"{self.name} is not FHIR: an entry has no resourceType.")
        identity = at(resource, "id")
        if not identity and isinstance(url, str):
            identity = url.removeprefix("urn:uuid:").rpartition("/")[2]
        if not identity:  # from the content, so that the order of entries changes nothing
            identity = "unnamed-" + sha256(json.dumps(resource, sort_keys=True, default=str).encode()).hexdigest()[:12]
        key = f"{kind}/{identity}"
        if key in self.resources:
            raise FhirError(f"{self.name} has the id {key} twice; give each resource an id of its own.")
        self.resources[key] = resource
        if isinstance(url, str) and self.urls.setdefault(url, key) != key:
            raise FhirError(f"{self.name} has the fullUrl {url} twice; give each entry one of its own.")

    def of_type(self, kind: str) -> list[str]:
        """The keys of all resources of one type, in order of id."""
        return sorted(key for key, resource in self.resources.items() if resource["resourceType"] == kind)

    @property
    def shared_only(self) -> bool:
        """Whether it holds nobody's data: only hospitals, practitioners and the like."""
        return all(resource["resourceType"] in SHARED for resource in self.resources.values())


def read_bundles(path: Path) -> list[Bundle]:
    """The bundles of a file, or of a folder's files.

    Args:
        path: a `.json` file (a Bundle or one resource), an `.ndjson` or `.jsonl` file (one resource a line), or a
            folder of such. A folder's NDJSON files are one export and become one bundle.

    Raises:
        FhirError: one of them cannot be read; the message names it.
    """
    if path.is_dir():
        kinds = (*WHOLE, *LINES)
        known = sorted(one for one in path.iterdir() if one.suffix.lower() in kinds and one.name != OWN)
        files = [one for one in known if not is_hidden(PurePath(one.name))]
        if len(files) < len(known):
            say(f"Passed over in {path}: hidden files ({len(known) - len(files)}).")
        if not files:
            raise FhirError(f"{path} holds no .json, .xml, .ndjson or .jsonl file.")
        bundles = [bundle for file in files if file.suffix.lower() in WHOLE for bundle in read_bundles(file)]
        export = Bundle(path.name, export=True)
        for file in files:
            if file.suffix.lower() in LINES:
                _read_lines(file, export)
        found = [*bundles, *([export] if export.resources else [])]
    elif path.suffix.lower() in LINES:
        export = Bundle(path.name, export=True)
        _read_lines(path, export)
        found = [export]
    else:
        found = [_read_json(path)]
    for bundle in found:
        _check_version(bundle)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FhirError(f"There is no file {path}.") from None
    except UnicodeDecodeError:
        raise FhirError(f"{path.name} is not FHIR JSON: it is not UTF-8 text.") from None
    except OSError as error:
        raise FhirError(f"{path.name} cannot be read: {error.strerror}.") from None


def _parse(text: str, name: str) -> Any:
    if text.lstrip().startswith("<"):
        try:
            return read_xml(text)
        except ParseError as error:
            raise FhirError(f"{name} is not FHIR: it is not valid XML ({error}).") from None
    try:
        # Decimal, so that 1.50 stays 1.50
        return json.loads(text, parse_float=Decimal)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FhirError(f"{name} is not FHIR: it is not valid JSON ({error}).") from None


def _read_json(path: Path) -> Bundle:
    whole = _parse(_text(path), path.name)
    bundle = Bundle(path.name)
    kind = at(whole, "resourceType")
    if kind != "Bundle":
        if not isinstance(kind, str):
            raise FhirError(f"{path.name} is not FHIR: it is JSON without a resourceType.")
        bundle.add(whole)
        return bundle
    if not all(isinstance(entry, dict) for entry in each(whole, "entry")):
        place = next(n for n, entry in enumerate(each(whole, "entry"), 1) if not isinstance(entry, dict))
        raise FhirError(f"{path.name} is not FHIR: entry {place} of the Bundle is no object.")
    for entry in each(whole, "entry"):
        # A search may answer with an OperationOutcome, and a deletion is an entry without a resource.
        if at(entry, "resource") is None or at(entry, "resource", "resourceType") == "OperationOutcome":
            continue
        bundle.add(entry["resource"], entry.get("fullUrl"))
    bundle.part = _page(whole, path.name)
    return bundle


def _page(whole: Any, name: str) -> str:
    """What is said of a search's answer that has more pages: a link to the next, or a total above what is here."""
    found = [one for one in each(whole, "entry") if at(one, "search", "mode") not in ("include", "outcome")]
    total = at(whole, "total")
    more = isinstance(total, int | Decimal) and total > len(found) and at(whole, "type") == "searchset"
    if not more and not any(at(link, "relation") == "next" for link in each(whole, "link")):
        return ""
    of = f" ({len(found)} of {total} entries)" if more else ""
    return f"{name} is one page of a search{of}: what is on the others is not looked at."


def _read_lines(path: Path, bundle: Bundle) -> None:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            bundle.add(_parse(line, f"{path.name}, line {number},"))


def _signs(resource: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of another FHIR version and what in this resource gives it away."""
    kind = resource["resourceType"]
    if kind in ("MedicationOrder", "DiagnosticOrder"):
        yield "DSTU2", f"it has a {kind}"
    if kind in ("ProcedureRequest", "ReferralRequest"):
        yield "STU3", f"it has a {kind}"
    if kind == "Condition" and isinstance(resource.get("clinicalStatus"), str):
        yield ("DSTU2" if "patient" in resource else "STU3"), "Condition.clinicalStatus is a plain code"
    if kind == "AllergyIntolerance" and ("substance" in resource or isinstance(resource.get("clinicalStatus"), str)):
        yield ("DSTU2" if "substance" in resource else "STU3"), "AllergyIntolerance has that version's fields"
    if kind == "Immunization" and "date" in resource:
        yield ("DSTU2" if "wasNotGiven" in resource else "STU3"), "Immunization has a date instead of an occurrence"
    if kind == "Encounter" and isinstance(resource.get("class"), str):
        yield "DSTU2", "Encounter.class is a plain code"
    if "context" in resource and kind in ("Condition", "Observation", "MedicationRequest", "Procedure", "CarePlan"):
        yield "STU3", f"{kind} has a context"
    if kind == "Encounter" and ("actualPeriod" in resource or isinstance(resource.get("class"), list)):
        yield "R5", "Encounter has an actualPeriod or a list of classes"
    if kind in ("MedicationRequest", "MedicationStatement") and isinstance(resource.get("medication"), dict):
        yield "R5", f"{kind} has a medication of one field"
    if kind == "Procedure" and any(name.startswith("occurrence") for name in resource):
        yield "R5", "Procedure has an occurrence"
    version = resource.get("fhirVersion")
    if isinstance(version, str) and not version.startswith("4."):
        yield version, f"{kind}.fhirVersion says so"


def _check_version(bundle: Bundle) -> None:
    found: dict[str, str] = {}
    for key in sorted(bundle.resources):
        for version, reason in _signs(bundle.resources[key]):
            found.setdefault(version, reason)
    # STU3 kept much of DSTU2: what only DSTU2 has decides.
    if found:
        version = min(found, key=lambda name: (name != "DSTU2", name))
        raise FhirError(f"{bundle.name} is FHIR {version}, not R4 ({found[version]}); export it as R4.")


class References:
    """Finds what a reference means, in the bundle first, then in the bundles given beside it."""

    def __init__(self, own: Bundle, context: Sequence[Bundle]):
        self._bundles = [own, *context]
        self._identifiers: dict[tuple[str, str, str], tuple[str, dict[str, Any]]] | None = None

    def find(self, reference: Any, parent: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]] | None:
        """`Type/id` and resource of a Reference; None where it dangles.

        Understood are `urn:uuid:`, `Type/id` with or without version, whole addresses, `#contained`,
        `Type?identifier=system|value`, and a Reference that has only an identifier.
        """
        text = at(reference, "reference")
        if not isinstance(text, str) or not text:
            system, value = at(reference, "identifier", "system"), at(reference, "identifier", "value")
            return self._identified(at(reference, "type") or "", system or "", value) if value else None
        if text.startswith("#"):
            for inner in each(parent, "contained"):
                if at(inner, "id") == text[1:] and at(inner, "resourceType"):
                    return f"{inner['resourceType']}/{text[1:]}", inner
            return None
        if "?identifier=" in text:
            kind, _, query = text.partition("?identifier=")
            system, _, value = query.rpartition("|")
            return self._identified(kind.rpartition("/")[2], system, value)
        text = text.partition("/_history/")[0]
        for bundle in self._bundles:
            key = bundle.urls.get(text)
            if key is None:
                key = "/".join(text.split("/")[-2:])
            if key in bundle.resources:
                return key, bundle.resources[key]
        return None

    def _identified(self, kind: str, system: str, value: Any) -> tuple[str, dict[str, Any]] | None:
        if self._identifiers is None:
            self._identifiers = {}
            for bundle in self._bundles:
                for key, resource in sorted(bundle.resources.items()):
                    for one in each(resource, "identifier"):
                        name = (resource["resourceType"], at(one, "system") or "", str(at(one, "value")))
                        for alias in (name, ("", *name[1:])):
                            self._identifiers.setdefault(alias, (key, resource))
        return self._identifiers.get((kind, system, str(value)))
