"""The task of a schema of your own: all that is particular to it stands in the YAML's section `contract`."""

from __future__ import annotations

from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Example
from finetune.task import DataRequest, DocumentTask


class Documents(DocumentTask):
    """Documents, each with its record beside it; schema, instruction and roles are the YAML's."""

    name = "documents"
    contract = Contract.for_schema({"type": "object", "properties": {}})

    def read(self, wanted: DataRequest) -> list[Example]:
        """Every document of a folder with its record."""
        if wanted.contract.record_schema == self.contract.record_schema:
            raise AssayError(
                "The recipe documents has no schema of its own; name yours as contract.record_schema in the YAML "
                "(assay init writes one)."
            )
        return super().read(wanted)


TASK = Documents()
