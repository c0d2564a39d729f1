"""Turns logs as a node gives them into rows for COPY and facts about elections, in one pass."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import eth_abi

from chain.abi import decode_result, encode_call
from chain.exceptions import DecodingFailed, NodeUntrustworthy, Reverted
from chain.models import Contract, DeadLetter
from chain.profiles import profiles
from chain.reading import Header, Reader
from elections.events import Event, Origin

Context = Mapping[str, Any]
NULL = "\\N"


@dataclass
class DecodedLogs:
    """Logs of one stretch of blocks, ready to be written."""

    rows: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def read_contexts(
    *, reader: Reader, contracts: Mapping[str, Contract], logs: Sequence[dict[str, Any]]
) -> dict[tuple[str, int], Context]:
    """Read from the contracts' state what their events leave out, keyed by (block hash, log index)."""
    readers = {address: contract for address, contract in contracts.items() if profiles()[contract.profile].reads}
    found: dict[tuple[str, int], Context] = {}
    if not readers:
        return found
    for log in logs:
        contract = readers.get(log["address"])
        if contract is None or not log["topics"]:
            continue
        profile = profiles()[contract.profile]
        decoder = profile.decoders.get(log["topics"][0])
        read = profile.reads.get(decoder.name) if decoder else None
        if decoder is None or read is None:
            continue
        try:
            arguments = decoder.decode(log["topics"], log["data"])
        except DecodingFailed:
            # It becomes a dead letter when its turn comes.
            continue
        call = encode_call(profile.abi, read.function, [arguments[read.argument]])
        try:
            answer = reader.state_at(contract.address, call, log["blockHash"], log["blockNumber"])
        except Reverted:
            # The contract's own word: it becomes a dead letter too.
            continue
        try:
            values = decode_result(profile.abi, read.function, answer)
        except (ValueError, eth_abi.exceptions.DecodingError) as error:
            raise NodeUntrustworthy(f"{read.function}: an answer that does not decode", check="state") from error
        found[log["blockHash"], log["logIndex"]] = dict(zip(read.names, (str(value) for value in values), strict=True))
    return found


def decode_logs(
    *,
    contracts: Mapping[str, Contract],
    logs: Sequence[dict[str, Any]],
    headers: Mapping[int, Header],
    contexts: Mapping[tuple[str, int], Context],
) -> DecodedLogs:
    """Decode checked logs, in chain order; what does not decode becomes a dead letter.

    A row is one line of COPY text in the order of `chain.services.writing.COLUMNS`: hexadecimal goes from the
    node's answer into PostgreSQL as it is.
    """
    result = DecodedLogs()
    add_row, add_event, counts = result.rows.append, result.events.append, result.counts
    last_address, last_number = "", -1
    tx_text, tx_hash = "", b""
    for log in logs:
        number, address, topics, data = log["blockNumber"], log["address"], log["topics"], log["data"]
        if number != last_number or address != last_address:
            # All that logs of one block and contract share is made once.
            last_number, last_address = number, address
            contract = contracts[address]
            profile = profiles()[contract.profile]
            decoders, id_positions, meanings = profile.decoders, profile.id_positions, profile.meanings
            chain_id, block_hex = contract.chain_id, log["blockHash"]
            block_hash, timestamp = bytes.fromhex(block_hex[2:]), headers[number].timestamp
            prefix = f"{contract.pk}\t{number}\t\\\\{block_hex[1:]}\t"
        if log["transactionHash"] != tx_text:
            tx_text = log["transactionHash"]
            tx_hash = bytes.fromhex(tx_text[2:])
            tx_part = f"\t\\\\{tx_text[1:]}\t{log['transactionIndex']}\t\\\\x"
        index = log["logIndex"]
        decoder = decoders.get(topics[0]) if topics else None
        context = contexts.get((block_hex, index)) if contexts else None
        try:
            if decoder is None:
                raise DecodingFailed(f"no event of profile {contract.profile} has topic {topics[0] if topics else '-'}")
            arguments = decoder.expression(topics, data)
            if arguments is None:
                raise DecodingFailed(f"{decoder.name}: topics and data do not fit the event's types")
            name = decoder.name
            if context is None and name in profile.reads:
                raise DecodingFailed(f"{name}: the contract does not answer {profile.reads[name].function}()")
            meaning = meanings.get(name)
            if meaning is not None:
                origin = Origin(chain_id, address, number, block_hash, timestamp, tx_hash, index)
                event = meaning(origin, arguments, context)
                if event is not None:
                    add_event(event)
        except (DecodingFailed, ValueError, IndexError) as error:
            result.dead.append(dead_letter(contract, log, str(error)))
            continue
        position = id_positions.get(name)
        add_row(
            f"{prefix}{index}{tx_part}{''.join(topics).replace('0x', '')}\t\\\\{data[1:]}\t{name}\t"
            f"{NULL if position is None else arguments[position]}\t{json.dumps(context) if context else NULL}\t\\N\n"
        )
        counts[name] += 1
    return result


def dead_letter(contract: Contract, log: Mapping[str, Any], reason: str) -> DeadLetter:
    return DeadLetter(
        contract=contract,
        block_number=log["blockNumber"],
        block_hash=bytes.fromhex(log["blockHash"][2:]),
        log_index=log["logIndex"],
        tx_hash=bytes.fromhex(log["transactionHash"][2:]),
        tx_index=log["transactionIndex"],
        topics=bytes.fromhex("".join(topic[2:] for topic in log["topics"])),
        data=bytes.fromhex(log["data"][2:]),
        reason=reason[:300],
    )
