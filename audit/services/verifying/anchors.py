"""Compares the anchors that we know of with the chain."""

import json
from collections import defaultdict
from pathlib import Path

from django.conf import settings

from audit.models import Anchor
from audit.verification import anchors
from audit.verification.database import Claim
from audit.verification.report import Report


def get_anchor_contract() -> tuple[str, str] | None:
    """Return the node's URL and the AuditAnchor contract's address, when both are configured."""
    contract = settings.AUDIT_ANCHOR_CONTRACT
    file = Path(settings.CHAIN_DEPLOYMENT_FILE or "")
    if not contract and file.is_file():
        contract = json.loads(file.read_text()).get("AuditAnchor", "")
    urls = settings.CHAIN_RPC_URLS
    return (urls[0], contract) if contract and urls else None


def read_anchor_claims(report: Report) -> list[Claim]:
    """Read the anchored roots from the chain; those that we know of and the chain does not have are findings.

    Former contracts on the same chain are read too, where they have anchors that we know of. An anchor on chain that
    we do not know of is none: its row follows its transaction. Like all others, it must have the log's root.
    """
    # Before the chain is read: a row is written after its anchor.
    known: dict[tuple[int, str], list[Anchor]] = defaultdict(list)
    # Without its time, which may be one that Python has no moment for (`infinity`).
    for anchor in Anchor.objects.only("chain_id", "contract", "tree_size", "root_hash").order_by("tree_size"):
        known[anchor.chain_id, anchor.contract.lower()].append(anchor)
    count = sum(map(len, known.values()))
    place = get_anchor_contract()
    if place is None:
        if known:
            report.add_unchecked("anchors", "anchors", f"{count} are known, but no contract is configured")
        return []
    url, contract = place
    try:
        chain_id = anchors.read_chain_id(url=url)
    except anchors.AnchorsUnreadable as error:
        report.add_unchecked("anchors", "anchors", str(error))
        return []
    claims: list[Claim] = []
    for at_chain, at_contract in sorted({(settings.CHAIN_ID, contract.lower()), *known}):
        if at_chain != chain_id:
            message = f"cannot be read: the node at {url} is of chain {chain_id}"
            report.add_unchecked("anchors", f"anchors on chain {at_chain} in {at_contract}", message)
            continue
        try:
            there = anchors.read_anchors(url=url, contract=at_contract)
        except anchors.AnchorsUnreadable as error:
            report.add_unchecked("anchors", "anchors", str(error))
            continue
        claims += there
        compare_anchors(known[at_chain, at_contract], there, report)
    report.counts["anchors"] = len(claims)
    return claims


def compare_anchors(known: list[Anchor], there: list[Claim], report: Report) -> None:
    on_chain = {(claim.tree_size, claim.root_hash) for claim in there}
    for anchor in known:
        if (anchor.tree_size, bytes(anchor.root_hash)) not in on_chain:
            message = "the chain does not have it as it is stored here"
            report.add("anchors", f"anchor of size {anchor.tree_size}", message)
