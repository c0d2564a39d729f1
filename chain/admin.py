"""Django admin of `chain`: to look at; dead letters can be replayed."""

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from accounts.admin_base import ReadOnlyAdmin
from accounts.services import actor_of
from audit.admin_base import copyable, formatted_json, hexadecimal, unix_time
from audit.context import auditing
from chain.exceptions import NodeError
from chain.models import Checkpoint, Contract, Coverage, DeadLetter, Transaction
from chain.services import build_reader, replay_dead_letters


@admin.register(Contract)
class ContractAdmin(ReadOnlyAdmin):
    list_display = ("address", "profile", "chain_id", "deployment_block", "is_active")
    list_filter = ("chain_id", "profile", "is_active")
    search_fields = ("address",)
    search_help_text = "Address"


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = ("chain_id", "block_number", "finalized_block", "node_head", "updated_at", "writer", "shown_state")
    exclude = ("block_hash", "block_timestamp")
    readonly_fields = ("shown_hash", "shown_time")

    @display(description="Block hash")
    def shown_hash(self, checkpoint: Checkpoint) -> str:
        return copyable(hexadecimal(checkpoint.block_hash), is_whole=True)

    @display(description="Block time")
    def shown_time(self, checkpoint: Checkpoint) -> str:
        return unix_time(checkpoint.block_timestamp)

    @display(description="State", label={"following": "success", "halted": "danger"})
    def shown_state(self, checkpoint: Checkpoint) -> str:
        return "halted" if checkpoint.halted_at else "following"


@admin.register(Coverage)
class CoverageAdmin(ReadOnlyAdmin):
    list_display = ("contract", "from_block", "to_block")
    list_select_related = ("contract",)


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    list_display = ("kind", "nonce", "shown_state", "shown_key", "created_at", "block_number", "error")
    list_filter = ("state", "kind")
    search_fields = ("key", "sender")
    search_help_text = "The job that asked for it, or the sender's address"
    exclude = ("hashes",)
    readonly_fields = ("shown_hashes",)

    @display(
        description="State",
        ordering="state",
        label={"Mined": "success", "Prepared": "info", "Sent": "warning", "Reverted": "danger"},
    )
    def shown_state(self, transaction: Transaction) -> str:
        return transaction.get_state_display()

    @display(description="Asked for by", ordering="key")
    def shown_key(self, transaction: Transaction) -> str:
        return copyable(transaction.key)

    @display(description="Hashes")
    def shown_hashes(self, transaction: Transaction) -> str:
        return formatted_json(transaction.hashes)


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnlyAdmin):
    list_display = ("block_number", "log_index", "contract", "reason", "created_at", "replayed_at", "retracted_at")
    list_filter = (("replayed_at", admin.EmptyFieldListFilter), ("retracted_at", admin.EmptyFieldListFilter))
    list_select_related = ("contract",)
    search_fields = ("reason",)
    search_help_text = "Words of the reason"
    exclude = ("block_hash", "tx_hash", "topics", "data")
    readonly_fields = ("shown_block", "shown_transaction", "shown_topics", "shown_data")
    actions = ["replay"]  # type: ignore[assignment]

    @display(description="Block hash")
    def shown_block(self, letter: DeadLetter) -> str:
        return copyable(hexadecimal(letter.block_hash), is_whole=True)

    @display(description="Transaction")
    def shown_transaction(self, letter: DeadLetter) -> str:
        return copyable(hexadecimal(letter.tx_hash), is_whole=True)

    @display(description="Topics")
    def shown_topics(self, letter: DeadLetter) -> str:
        return hexadecimal(letter.topics)

    @display(description="Data")
    def shown_data(self, letter: DeadLetter) -> str:
        return hexadecimal(letter.data)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    @admin.action(description="Replay all that decode now", permissions=["replay"])
    def replay(self, request: HttpRequest, letters: QuerySet[DeadLetter]) -> None:
        try:
            with auditing(actor=actor_of(request.user)):  # type: ignore[arg-type]
                replayed, failed = replay_dead_letters(chain_id=settings.CHAIN_ID, reader=build_reader())
        except NodeError:
            messages.error(request, "No node answers at present.")
            return
        messages.info(request, f"{replayed} were replayed, {failed} still do not decode.")
