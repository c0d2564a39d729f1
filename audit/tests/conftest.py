import pytest


@pytest.fixture(autouse=True)
def export_folder(settings, tmp_path):
    """A write-once store of the test's own, and no chain."""
    folder = tmp_path / "exports"
    settings.AUDIT_EXPORT_STORAGE = {"BACKEND": "audit.storage.WriteOnceFolder", "OPTIONS": {"location": folder}}
    settings.AUDIT_ANCHOR_CONTRACT = ""
    settings.CHAIN_DEPLOYMENT_FILE = ""
    return folder
