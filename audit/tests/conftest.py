import pytest

from audit.services import sequence_all
from audit.tests.factories import write


@pytest.fixture(autouse=True)
def export_folder(settings, tmp_path):
    """A write-once store of the test's own, and no chain."""
    folder = tmp_path / "exports"
    settings.AUDIT_EXPORT_STORAGE = {"BACKEND": "audit.storage.WriteOnceFolder", "OPTIONS": {"location": folder}}
    settings.AUDIT_ANCHOR_CONTRACT = ""
    settings.CHAIN_DEPLOYMENT_FILE = ""
    return folder


@pytest.fixture
def log():
    """A log of 300 entries with their numbers, and one checkpoint."""
    write(300)
    sequence_all()
