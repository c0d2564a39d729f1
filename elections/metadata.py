"""Names a metadata document by its hash: SHA-256 over its canonical JSON (RFC 8785)."""

import hashlib
from typing import Any

import rfc8785


def hash_document(document: Any) -> bytes:
    """Return the 32 bytes that an election's contract holds for this document."""
    return hashlib.sha256(rfc8785.dumps(document)).digest()


def is_document_of(document: Any, *, metadata_hash: bytes) -> bool:
    """Tell whether a document is the one that the hash names."""
    try:
        return hash_document(document) == metadata_hash
    except rfc8785.CanonicalizationError:
        return False
