"""What is true of one task lives with its recipe, and the packages import one way."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = {"ehr_qa", "lab_report"}  # folders of adapters within `extraction`
WORDS = re.compile(
    r"(?i:\b(panels?|specimens?|laborator(?:y|ies)|lab[ -](?:reports?|tests?))\b(?!-270m))"
    r"|[\"']results?[\"']|\b(?:CARRIED|LAB_KEY|LAB_FIELDS|CORE_FIELDS|check_rows)\b",
)
FIRST_VERSION = ("extraction/contract.py", "check_rows")  # contracts of version 1 had no checks but these
FHIR = ("extraction/export/fhir.py", '"result"')  # a key of FHIR's own


def sources(package):
    for path in sorted((ROOT / package).rglob("*")):
        inside = path.relative_to(ROOT / package).parts
        if path.suffix in (".py", ".yaml", ".html", ".jinja", ".css", ".js") and not SHIPPED & set(inside):
            yield path


@pytest.mark.parametrize("package", ["extraction", "finetune"])
def test_no_words_of_one_task_stand_in_the_general_packages(package):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in sources(package)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in WORDS.finditer(line)
        if (path.relative_to(ROOT).as_posix(), match.group()) not in (FIRST_VERSION, FHIR)
    ]
    assert not found, "\n".join(found)


def test_one_task_is_named_once_for_contracts_of_the_first_version():
    named = [path.relative_to(ROOT).as_posix() for path in sources("extraction") if "lab_report" in path.read_text()]
    named += [path.relative_to(ROOT).as_posix() for path in sources("finetune") if "lab_report" in path.read_text()]
    assert named in ([], ["extraction/contract.py"]), named


def imported(path):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


@pytest.mark.parametrize(("package", "others"), [("extraction", {"finetune", "recipes"}), ("finetune", {"recipes"})])
def test_the_packages_import_one_way(package, others):
    files = (ROOT / package).rglob("*.py")
    found = {(path.name, name) for path in files for name in imported(path) if name.partition(".")[0] in others}
    assert not found
