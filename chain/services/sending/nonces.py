"""Which nonce a transaction has: the sender's next, and another one when somebody else has used it with our key."""

import time

from django.db import connection, transaction
from django.db.models import Max

from audit.services import record
from chain import metrics
from chain.exceptions import NodeError
from chain.models import Transaction
from chain.nodes import Nodes
from chain.selectors import lock_transaction

# A nonce counts as taken by somebody else when every endpoint says so, so often and so far apart: an index of receipts
# may lag behind the block that it is about, and a second sending could not be taken back.
LOOKS_FOR_NONCE = 3
LOOK_PAUSE_SECONDS = 0.5


def lock_nonces(*, chain_id: int, sender: str) -> None:
    """Let one at a time draw a sender's nonces, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"nonce:{chain_id}:{sender}"])


def next_nonce(*, chain_id: int, sender: str, mined: int) -> int:
    """Return the first nonce that neither the chain nor a transaction of ours has used."""
    ours = Transaction.objects.filter(chain_id=chain_id, sender=sender, nonce__gte=mined)
    highest = ours.aggregate(highest=Max("nonce"))["highest"]
    return mined if highest is None else int(highest) + 1


def is_nonce_lost(*, nodes: Nodes, row: Transaction) -> bool:
    """Tell whether another transaction than ours has the nonce; False as long as any endpoint leaves a doubt."""
    for look in range(LOOKS_FOR_NONCE):
        if look:
            time.sleep(LOOK_PAUSE_SECONDS)
        for node in nodes.nodes:
            try:
                mined = int(node.call("eth_getTransactionCount", row.sender, "latest"), 16)
                receipts = [node.call("eth_getTransactionReceipt", tx_hash) for tx_hash in row.hashes]
            except NodeError:
                return False
            if mined <= row.nonce or any(receipts):
                return False
    return True


def renumber(*, nodes: Nodes, row: Transaction) -> None:
    """Draw another nonce for a transaction whose own somebody else has used with our key."""
    nonce, hashes = row.nonce, row.hashes
    mined = int(nodes.call("eth_getTransactionCount", row.sender, "latest"), 16)
    with transaction.atomic():
        lock_nonces(chain_id=row.chain_id, sender=row.sender)
        lock_transaction(row)
        if (row.nonce, row.hashes) != (nonce, hashes):
            # Another worker has done so, or has offered it under a hash that we did not look for.
            return
        row.nonce = next_nonce(chain_id=row.chain_id, sender=row.sender, mined=mined)
        row.hashes, row.offered_at, row.state = [], None, Transaction.State.PREPARED
        row.save(update_fields=["nonce", "hashes", "offered_at", "state"])
        record(
            action="chain.transaction.renumbered",
            target=f"transaction:{row.chain_id}/{row.sender}/{row.nonce}",
            data={"key": row.key},
        )
    metrics.transactions.labels(row.kind, "renumbered").inc()
