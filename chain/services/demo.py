"""The demo of a development chain: elections at every stage, and votes that keep arriving as real transactions.

Elections are asked for as an administrator does (a job sends the transaction); voters sign theirs with keys of
their own. Nothing here writes an election's row: the indexer does, when it sees the events.
"""

import random
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections
from eth_utils import keccak, to_checksum_address
from rest_framework.exceptions import APIException

from chain.abi import artifact, decode_result, encode_call
from chain.evm import account_from
from chain.exceptions import ConfigurationRefused, NodeError
from chain.nodes import Node
from chain.services.deployment import is_deployed, read_deployment
from elections.models import Election, Status
from elections.selectors import attach, get_head
from elections.services import request_cancellation, request_election, request_tally
from zk.client import VoterIdentity
from zk.lean_imt import LeanIMT
from zk.services import election_scope

DEVELOPMENT_CHAINS = {31337, 1337}
VOTE_GAS, PROOF_VOTE_GAS = 200_000, 600_000
# Blocks from now to the start, length in blocks; a "closing" election is one that ends within CLOSING_BLOCKS.
CLOSING_BLOCKS = 240
WINDOWS = {"tallied": (4, 8), "open": (4, 3600), "secret": (5, 3600), "closing": (4, 200), "pending": (600, 1800)}
# An election of each kind is asked for again only when the last request had this long to appear.
PATIENCE_SECONDS = 60
SECRET_VOTERS = 24
FIRST_VOTES = 18

TEXTS: dict[str, list[tuple[str, str, list[str]]]] = {
    "tallied": [
        (
            "School meals: the new menu",
            "Pupils and parents of the fourth district.",
            ["Menu A", "Menu B", "Keep today's"],
        )
    ],
    "open": [
        (
            "City budget: the next million",
            "One million is left in next year's budget. Which of these gets it?",
            ["Cycle paths", "Libraries", "Parks", "Street lighting"],
        ),
        ("Sunday opening of shops", "Should shops in the old town open on Sundays?", ["Yes", "No", "Only in summer"]),
    ],
    "secret": [
        (
            "Housing cooperative: the board",
            "A secret ballot: members prove with zero knowledge that they may vote.",
            ["Ana Petrova", "Boris Iliev", "Vera Koleva"],
        )
    ],
    "closing": [
        (
            "Name of the new tram line",
            "The line from the station to the harbour opens in May.",
            ["Harbour", "Linden", "Seventeen"],
        ),
        ("Colour of the town hall", "The facade is painted this spring.", ["Ochre", "White", "Dark red"]),
        (
            "Date of the town festival",
            "The weekend decides about the programme.",
            ["First of June", "Mid July", "September"],
        ),
    ],
    "pending": [
        ("A new bridge for the river", "Three designs passed the jury.", ["The arch", "The cable", "The garden"]),
        ("Night buses", "Which lines run through the night?", ["Lines 1 and 4", "All trams", "None"]),
    ],
    "cancelled": [("Move of the market", "Withdrawn: the square stays where it is.", ["Yes", "No"])],
}


class Demo:
    """Keeps elections at every stage on a development chain and casts votes in the open ones."""

    def __init__(self, *, node: Node, book: dict[str, Any], say: Callable[[str], None]) -> None:
        self.node = node
        self.chain_id = int(book["chain_id"])
        self.contract = str(book["ElectionManager"])
        self.verifier = str(book["SemaphoreVerifier"])
        self.abi = artifact("ElectionManager")["abi"]
        self.say = say
        self.requested_at: dict[str, float] = {}
        self.voters: dict[str, int] = {}
        self.asked: set[str] = set()
        self.next_proof_at = 0.0
        self.votes = 0

    # Stages

    def elections(self) -> list[Election]:
        """Return the elections of the demo's contract, as indexed."""
        found = list(Election.objects.visible().on_contract(chain_id=self.chain_id, contract=self.contract))
        attach(found)
        return found

    def head(self) -> int | None:
        head = get_head(chain_id=self.chain_id)
        return None if head is None else head.number

    def keep_stages(self) -> bool:
        """Ask for what is missing; return whether every stage is there."""
        head, elections = self.head(), self.elections()
        if head is None:
            return False
        open_ones = [election for election in elections if election.status == Status.OPEN]
        soon = [election for election in open_ones if int(election.end_block) - head <= CLOSING_BLOCKS]
        later = [election for election in open_ones if int(election.end_block) - head > CLOSING_BLOCKS]
        has = {
            "open": any(election.verifier is None for election in later),
            "secret": any(election.verifier is not None for election in later),
            "closing": bool(soon),
            "pending": any(election.status == Status.PENDING for election in elections),
            "tallied": any(election.status in (Status.TALLIED, Status.CLOSED) for election in elections),
            "cancelled": any(election.status == Status.CANCELLED for election in elections),
        }
        for kind in ("tallied", "open", "secret", "closing", "pending"):
            if not has[kind]:
                self.request(kind, head=head, serial=len(elections))
        if not has["cancelled"]:
            self.cancel_one(elections, head=head)
        for election in elections:
            if election.status == Status.CLOSED and election.public_id not in self.asked:
                self.asked.add(election.public_id)
                request_tally(
                    owner=None, public_id=election.public_id, idempotency_key=f"demo-tally-{election.public_id}"
                )
                self.say(f"election {election.election_id} has ended: asked for its tally")
        return all(has.values()) and any(election.status == Status.TALLIED for election in elections)

    def request(self, kind: str, *, head: int, serial: int) -> None:
        if time.monotonic() - self.requested_at.get(kind, -PATIENCE_SECONDS) < PATIENCE_SECONDS:
            return
        self.requested_at[kind] = time.monotonic()
        title, description, options = TEXTS[kind][serial % len(TEXTS[kind])]
        start_in, length = WINDOWS.get(kind, (900, 1800))
        document = {"title": title, "description": description, "options": options}
        more = {}
        if kind == "secret":
            more = {"verifier": self.verifier, "census_root": f"0x{self.census.root:064x}"}
        request_election(
            owner=None, metadata=document, start_block=head + start_in, end_block=head + start_in + length, **more
        )
        self.say(f"asked for an election: {title}")

    def cancel_one(self, elections: list[Election], *, head: int) -> None:
        title = TEXTS["cancelled"][0][0]
        doomed = [election for election in elections if election.document and election.document["title"] == title]
        if not doomed:
            self.request("cancelled", head=head, serial=0)
        for election in doomed:
            if election.status == Status.PENDING and election.public_id not in self.asked:
                self.asked.add(election.public_id)
                request_cancellation(owner=None, public_id=election.public_id)
                self.say(f"election {election.election_id}: asked to cancel it")

    # Votes

    def vote(self) -> None:
        """Cast a vote in each open ballot, many in one that has few, and now and then a proven one."""
        for election in self.elections():
            if election.status != Status.OPEN:
                continue
            if election.verifier is None:
                for _ in range(FIRST_VOTES if int(election.turnout) < FIRST_VOTES else 1):
                    self.cast(election)
            elif time.monotonic() >= self.next_proof_at:
                self.next_proof_at = time.monotonic() + 8
                self.cast_proven(election)

    def choice(self, election: Election, voter: int) -> int:
        """Choose as a voter would: each election has its own, uneven, opinion."""
        opinion = random.Random(election.public_id)  # noqa: S311
        weights = [opinion.uniform(1, 4) for _ in range(election.options)]
        return random.Random(f"{election.public_id}/{voter}").choices(range(election.options), weights)[0]  # noqa: S311

    def cast(self, election: Election) -> None:
        """Sign and send one voter's transaction."""
        voter = self.voters.get(election.public_id, int(election.turnout))
        while self.has_voted(election, int(account_of(voter).address, 16)):
            voter += 1
        self.voters[election.public_id] = voter + 1
        data = encode_call(self.abi, "vote", [int(election.election_id), self.choice(election, voter)])
        self.send(account_of(voter), data, gas=VOTE_GAS)

    def cast_proven(self, election: Election) -> None:
        """Prove as the next member of the census that has not voted, and let any account carry the vote."""
        voter = self.voters.get(election.public_id, int(election.turnout))
        if voter >= SECRET_VOTERS or int(election.census_root or 0) != self.census.root:
            return
        self.voters[election.public_id] = voter + 1
        scope = election_scope(
            chain_id=election.chain_id, contract=election.contract, election_id=int(election.election_id)
        )
        path = self.census.prove(voter)
        vote = identity_of(voter).prove_vote(
            merkle_proof={"index": path.index, "siblings": [str(sibling) for sibling in path.siblings]},
            scope=scope,
            choice=self.choice(election, voter),
        )
        arguments = [int(election.election_id), vote.choice, vote.nullifier, vote.proof]
        data = encode_call(self.abi, "voteWithProof", arguments)
        self.send(account_of(10_000 + random.randrange(1000)), data, gas=PROOF_VOTE_GAS)  # noqa: S311

    @cached_property
    def census(self) -> LeanIMT:
        """The census of the demo's secret ballots: the same members each time."""
        return LeanIMT(identity_of(number).commitment for number in range(SECRET_VOTERS))

    def has_voted(self, election: Election, nullifier: int) -> bool:
        data = encode_call(self.abi, "hasVoted", [int(election.election_id), nullifier])
        answer = self.node.call("eth_call", {"to": self.contract, "data": data}, "pending")
        return bool(decode_result(self.abi, "hasVoted", answer)[0])

    def send(self, account: Any, data: str, *, gas: int) -> str:
        self.node.call("anvil_setBalance", account.address, hex(10**18))
        gas_price = max(int(self.node.call("eth_gasPrice"), 16), 10**9)
        transaction = {
            "chainId": self.chain_id,
            "nonce": int(self.node.call("eth_getTransactionCount", account.address, "pending"), 16),
            "gas": gas,
            "maxFeePerGas": gas_price * 2,
            "maxPriorityFeePerGas": 10**9,
            "to": to_checksum_address(self.contract),
            "value": 0,
            "data": data,
        }
        signed = account.sign_transaction(transaction)
        self.votes += 1
        return str(self.node.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x")))


def account_of(voter: int) -> Any:
    """Return the account of a voter of an open ballot: a key that everybody can compute, worthless elsewhere."""
    return account_from(keccak(text=f"psephos demo voter {voter}"))


def identity_of(number: int) -> VoterIdentity:
    """Return the identity of a member of the demo's census."""
    return VoterIdentity(1 + int.from_bytes(keccak(text=f"psephos demo identity {number}")[:31]))


def open_demo(*, say: Callable[[str], None]) -> Demo:
    """Connect to the development chain; raise ConfigurationRefused for any other chain."""
    node = Node(settings.CHAIN_RPC_URLS[0])
    chain_id = int(node.call("eth_chainId"), 16)
    client = str(node.call("web3_clientVersion"))
    if chain_id not in DEVELOPMENT_CHAINS or not client.lower().startswith("anvil"):
        raise ConfigurationRefused(
            f"the demo votes with public keys and takes a development chain for it; this is chain {chain_id} ({client})"
        )
    book = read_deployment()
    if not book or not is_deployed(node, book):
        raise ConfigurationRefused("the contracts are not deployed: run `manage.py deploy_contracts` first")
    return Demo(node=node, book=book, say=say)


def run_demo(*, demo: Demo, is_followed: bool, timeout_seconds: float, is_stopped: Callable[[], bool]) -> bool:
    """Keep the demo going; return once every stage is there, or, when followed, once it is stopped.

    Returns False when the time ran out first.
    """
    deadline = time.monotonic() + timeout_seconds
    staged_at = 0.0
    while not is_stopped():
        try:
            if time.monotonic() - staged_at >= 3:
                staged_at = time.monotonic()
                if demo.keep_stages() and demo.votes and not is_followed:
                    return True
            demo.vote()
        except (NodeError, APIException, OperationalError, InterfaceError) as error:
            # The node, the database or the broker is away for a moment; the next round tries again, over a new
            # connection: outside of a request nobody else throws a broken one away.
            close_old_connections()
            demo.say(f"waiting: {type(error).__name__}")
            time.sleep(2)
        if not is_followed and time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True
