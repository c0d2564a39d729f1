"""Writes the audit log; numbers, signs, exports and verifies it."""

from audit.services.admin import AuditedAdmin
from audit.services.anchoring import get_root_to_anchor, record_anchor
from audit.services.exporting import export_log, get_export_storage, write_bundle
from audit.services.grants import grant_roles
from audit.services.recording import record
from audit.services.sequencing import Sequencer, make_sequencer, sequence_all
from audit.services.verifying import get_anchor_contract, verify_log

__all__ = [
    "AuditedAdmin",
    "Sequencer",
    "export_log",
    "get_anchor_contract",
    "get_export_storage",
    "get_root_to_anchor",
    "grant_roles",
    "make_sequencer",
    "record",
    "record_anchor",
    "sequence_all",
    "verify_log",
    "write_bundle",
]
