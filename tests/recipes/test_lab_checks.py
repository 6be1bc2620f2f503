"""The checks of laboratory rows, through the reading that a user gets."""

import json

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.generate import Generation
from recipes.lab_report.checks import CHECKS
from recipes.lab_report.medgemma import CONTRACT as IMAGES
from recipes.lab_report.task import CONTRACT
from tests.conftest import Scripted, document_of, record_of

TITLES = "Analyse      Vorwert             Resultat      Einheit"
ROWS = "Kalium               4,1         4,8           mmol/L\nNatrium      139                 141           mmol/L"
PAGE = f"{TITLES}\n{ROWS}"


def test_columns_of_earlier_results_are_not_shown_and_are_known_all_the_same():
    """A value beside the column that was left out is still told to be nearest to its title."""
    answer = json.dumps({"tests": [["Kalium", "4,1", "mmol/L"], ["Natrium", "141", "mmol/L"]]})
    backend = Scripted(answer)
    [record] = Extractor(backend, CONTRACT).read([document_of(PAGE)])
    assert "Vorwert" not in backend.asked[0] and "139" not in backend.asked[0] and "4,1" in backend.asked[0]
    assert [(issue.code, issue.path) for issue in record.issues] == [("set_aside", "/tests")]
    [aside] = record.set_aside
    assert aside.data["result"] == "4,1" and "Vorwert" in aside.reason
    assert "Vorwert" in {word.text for word in record.document.pages[0].words}


def test_both_contracts_and_those_of_the_first_version_are_checked_alike(tmp_path):
    assert CONTRACT.rules is IMAGES.rules is CHECKS
    assert CONTRACT.roles == CHECKS.roles and IMAGES.roles.items() <= CHECKS.roles.items()
    assert CONTRACT.scored == IMAGES.scored == CHECKS.scored
    old = CONTRACT.model_dump(mode="json") | {"version": 1, "check_rows": True}
    for name in ("roles", "scored", "checks"):
        del old[name]
    (tmp_path / "contract.json").write_text(json.dumps(old))
    assert Contract.load(tmp_path) == CONTRACT


def test_what_a_result_means_stands_beside_the_data_and_a_flag_that_says_otherwise_is_an_issue():
    page = (
        "Test       Result  Unit    Range\n"
        "Sodium     150     mmol/L  135 - 145   H\nPotassium  4.0     mmol/L  3.5 - 5.1   H"
    )
    rows = [["Sodium", "150", "mmol/L", "135 - 145", "H"], ["Potassium", "4.0", "mmol/L", "3.5 - 5.1", "H"]]
    record = record_of(document_of(page), Generation(json.dumps({"tests": rows}), "stop"))
    assert record.derived == {"/tests/0/interpretation": "high", "/tests/1/interpretation": "normal"}
    assert [(issue.code, issue.path) for issue in record.issues] == [("contradicts", "/tests/1")]
    assert [row["flag"] for row in record.data["tests"]] == ["H", "H"]
    assert record.to_dict()["derived"] == record.derived
