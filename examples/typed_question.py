"""A typed question on a patient's record: no model, code alone."""

from pathlib import Path

from recipes.ehr_qa.lookup import run
from recipes.ehr_qa.query import Query
from recipes.ehr_qa.records import read_record

record = read_record(Path(__file__).with_name("patient.json"))
for query in (
    Query(what="condition", operation="list"),
    Query(what="observation", which="bp", operation="latest"),
    Query(what="immunization", which="flu shot", operation="count"),
    Query(what="medication", operation="active"),
):
    result = run(query, record)
    print(f"{query}: {result.said}")
