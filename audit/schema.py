"""GraphQL: the log's entries for administrators, receipts and checkpoints for everybody."""

from typing import Any

import graphene
from graphene_django import DjangoObjectType
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny

from audit import selectors
from audit.models import Entry
from audit.permissions import IsAdministrator
from audit.scalars import JSON, BigInt, DateTime
from audit.serializers import EntriesQuerySerializer, ProofQuerySerializer

PERMISSIONS = {
    "audit_entries": IsAdministrator,
    "audit_receipt": AllowAny,
    "audit_checkpoint": AllowAny,
}
SCOPES = {"audit_entries": "audit:read", "audit_receipt": "audit:read", "audit_checkpoint": "audit:read"}


class AuditEntry(DjangoObjectType):
    """One change, as it was recorded."""

    id = graphene.ID(required=True, description="The receipt that the change's answer carried.")
    seq = BigInt(description="Its number in the log; null until the sequencer numbered it.")
    created_at = DateTime(required=True, description="When it was recorded.")
    action = graphene.String(required=True, description="What was done, dotted, such as accounts.user.created.")
    actor = graphene.String(required=True, description="Who did it, such as user:… or system:indexer.")
    target = graphene.String(required=True, description="What it was done to.")
    data = JSON(description="Details, without secrets and personal data.")
    request_id = graphene.String(required=True, description="The request it was part of.")
    entry_hash = graphene.String(description="SHA-256 of the canonical bytes, in hexadecimal.")

    class Meta:
        model = Entry
        fields = ("id", "created_at", "action", "actor", "target", "data", "request_id")

    @staticmethod
    def resolve_seq(entry: Entry, info: Any) -> int | None:
        return entry.leaf.seq if hasattr(entry, "leaf") else None

    @staticmethod
    def resolve_entry_hash(entry: Entry, info: Any) -> str | None:
        return bytes(entry.leaf.entry_hash).hex() if hasattr(entry, "leaf") else None


class AuditEntryPage(graphene.ObjectType):
    """Entries, newest first."""

    results = graphene.List(graphene.NonNull(AuditEntry), required=True, description="The entries of this page.")
    next = graphene.ID(description="Give as `before` for the next page; null on the last.")


class AuditReceipt(graphene.ObjectType):
    """A proof that a change is in the log."""

    id = graphene.ID(required=True, description="The receipt.")
    proof = graphene.String(
        required=True, description="Inclusion proof with its checkpoint (C2SP tlog-proof), checkable offline."
    )


class AuditCheckpoint(graphene.ObjectType):
    """The signed state of the log."""

    tree_size = BigInt(required=True, description="How many entries it covers.")
    root_hash = graphene.String(required=True, description="The Merkle tree's root, in hexadecimal.")
    note = graphene.String(required=True, description="The signed note (C2SP tlog-checkpoint).")
    created_at = DateTime(required=True, description="When it was signed.")


class Query(graphene.ObjectType):
    audit_entries = graphene.Field(
        AuditEntryPage,
        required=True,
        description="The log's entries, newest first; for administrators.",
        action=graphene.String(description="An action, or its beginning up to a dot."),
        actor=graphene.String(description="Who did it."),
        target=graphene.String(description="What it was done to."),
        request_id=graphene.String(description="The request it was part of."),
        seq=BigInt(description="The entry's number."),
        since=DateTime(description="Not before this."),
        until=DateTime(description="Before this."),
        search=graphene.String(description="Words in the action, actor or target."),
        before=graphene.ID(description="The `next` of the page before."),
        limit=graphene.Int(description="1 to 500, 100 by default."),
    )
    audit_receipt = graphene.Field(
        AuditReceipt,
        required=True,
        description="The proof for a receipt (the Audit-Receipt header of a change's answer).",
        id=graphene.ID(required=True, description="The receipt."),
    )
    audit_checkpoint = graphene.Field(AuditCheckpoint, required=True, description="The log's last signed checkpoint.")

    @staticmethod
    def resolve_audit_entries(root: Any, info: Any, **filters: Any) -> dict[str, Any]:
        query = EntriesQuerySerializer(data={name: value for name, value in filters.items() if value is not None})
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        entries = selectors.list_entries(filters=asked)
        if before := asked.get("before"):
            entries = entries.filter(pk__lt=before)
        page = list(entries[: asked["limit"] + 1])
        has_more, page = len(page) > asked["limit"], page[: asked["limit"]]
        return {"results": page, "next": page[-1].pk if has_more else None}

    @staticmethod
    def resolve_audit_receipt(root: Any, info: Any, id: str) -> dict[str, Any]:  # noqa: A002
        query = ProofQuerySerializer(data={"id": id})
        if not query.is_valid():
            raise ValidationError(query.errors)
        return {"id": id, "proof": selectors.get_proof(entry_id=query.validated_data["id"])}

    @staticmethod
    def resolve_audit_checkpoint(root: Any, info: Any) -> dict[str, Any]:
        checkpoint = selectors.get_checkpoint()
        return {
            "tree_size": checkpoint.tree_size,
            "root_hash": bytes(checkpoint.root_hash).hex(),
            "note": checkpoint.note,
            "created_at": checkpoint.created_at,
        }
