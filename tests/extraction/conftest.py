"""What several modules of tests of volumes share."""

import json
from dataclasses import asdict

import pytest

from extraction.document.frames import RefusalError


@pytest.fixture
def within(monkeypatch):
    """The worker's code in this process: most tests are of what it finds, not of the process."""
    from extraction.volume import volume as volume_module
    from extraction.volume import worker

    def run_job(data, job, limits, name):
        try:
            job = json.loads(json.dumps({**asdict(limits), **job}))
            for frame, raw in (worker.find if job["do"] == "find" else worker.slices)(job):
                yield json.loads(json.dumps(frame)), raw
        except RefusalError as refusal:
            raise volume_module.WorkerError(refusal.frame["error"], refusal.frame) from None

    monkeypatch.setattr(volume_module, "run_job", run_job)
