"""Which contracts are indexed, and whether they are what they are said to be."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from chain.exceptions import ConfigurationRefused
from chain.models import Contract
from chain.profiles import profiles
from chain.reading import Reader
from chain.services.deployment import read_deployment

CONFIGURED = re.compile(r"(?P<profile>[a-z0-9-]+)@(?P<address>0x[0-9a-fA-F]{40})(?:@(?P<block>[0-9]+))?")
# Every PUSH4 of a selector need not be there in a proxy; events leave their topic in the code that emits them.
PROXY_HINTS = ("363d3d373d3d3d363d73", "360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc")


@dataclass(frozen=True)
class Configured:
    """One contract as the settings name it."""

    profile: str
    address: str
    deployment_block: int


def configured_contracts(entries: Sequence[str] | None = None, path: str | None = None) -> list[Configured]:
    """Read the contracts from the settings, or from the address book of a development chain."""
    entries = settings.CHAIN_CONTRACTS if entries is None else entries
    found: list[Configured] = []
    for entry in entries:
        match = CONFIGURED.fullmatch(entry.strip())
        if match is None:
            raise ConfigurationRefused(f"CHAIN_CONTRACTS: {entry!r} is not profile@0x…@deployment block")
        if match["profile"] not in profiles():
            raise ConfigurationRefused(
                f"CHAIN_CONTRACTS: no profile is called {match['profile']!r}; there are {', '.join(sorted(profiles()))}"
            )
        found.append(Configured(match["profile"], match["address"].lower(), int(match["block"] or 0)))
    if not found:
        book = read_deployment(path)
        if "ElectionManager" in book:
            found.append(Configured("psephos", book["ElectionManager"], book.get("deployment_block", 0)))
    if not found:
        raise ConfigurationRefused(
            "no contract to index: set CHAIN_CONTRACTS, or run `manage.py deploy_contracts` and set "
            "CHAIN_DEPLOYMENT_FILE"
        )
    if len({contract.address for contract in found}) != len(found):
        raise ConfigurationRefused("CHAIN_CONTRACTS names one address twice")
    return found


def check_contract(*, reader: Reader, configured: Configured, head: int) -> None:
    """Refuse an address without code, code without the profile's events, a deployment block past the head."""
    where = f"{configured.profile}@{configured.address}"
    if configured.deployment_block > head:
        raise ConfigurationRefused(
            f"{where}: the deployment block {configured.deployment_block} is past the head {head}: correct it in "
            "CHAIN_CONTRACTS"
        )
    code = reader.nodes.call("eth_getCode", configured.address, "latest")
    if not isinstance(code, str) or len(code) <= 2:
        raise ConfigurationRefused(
            f"{where}: there is no contract at this address on chain {reader.nodes.chain_id}: correct the address, or "
            "deploy it"
        )
    code = code.lower()
    if any(hint in code for hint in PROXY_HINTS):
        return
    profile = profiles()[configured.profile]
    absent = [
        decoder.name
        for topic, decoder in profile.decoders.items()
        if decoder.name in profile.meanings and topic[2:].lstrip("0") not in code
    ]
    if len(absent) == len(profile.meanings) or (absent and profile.name != "psephos"):
        raise ConfigurationRefused(
            f"{where}: the code emits no {', '.join(sorted(absent))}: the address belongs to another contract, or "
            "another profile fits it"
        )


def register_contracts(*, reader: Reader, chain_id: int, configured: Sequence[Configured], head: int) -> list[Contract]:
    """Check the configured contracts and keep them; contracts that are configured no more stay, inactive."""
    for contract in configured:
        check_contract(reader=reader, configured=contract, head=head)
    rows = []
    for contract in configured:
        row, is_new = Contract.objects.get_or_create(
            chain_id=chain_id,
            address=contract.address,
            defaults={"profile": contract.profile, "deployment_block": contract.deployment_block},
        )
        if not is_new and row.profile != contract.profile and row.eventlog_set.exists():
            raise ConfigurationRefused(
                f"{contract.address} is indexed as {row.profile}; its logs would change their meaning as "
                f"{contract.profile}. Index it into a fresh database"
            )
        if (row.profile, row.deployment_block, row.is_active) != (
            contract.profile,
            contract.deployment_block,
            True,
        ):
            row.profile, row.deployment_block, row.is_active = contract.profile, contract.deployment_block, True
            row.save()
        rows.append(row)
    Contract.objects.filter(chain_id=chain_id).exclude(pk__in=[row.pk for row in rows]).update(is_active=False)
    return sorted(rows, key=lambda row: row.pk)
