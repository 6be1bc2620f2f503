"""A lab report in, a record out: each value with its place on the page."""

from pathlib import Path

from extraction import Extractor

report = Extractor.default().extract(Path(__file__).with_name("report.pdf"))
print(report.source, report.status)
for row in report["tests"]:
    result = row["result"]
    print(f"{row['name'].value}: {result.value} (page {result.page}, confidence {result.confidence:.2f})")
