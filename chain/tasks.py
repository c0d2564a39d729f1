"""Jobs that send transactions; the rows change when the indexer sees their events."""

from typing import Any

from celery import shared_task
from django.conf import settings

from chain.services import (
    anchor_audit_root,
    build_nodes,
    reconcile,
    send_to_manager,
    start_anchoring,
    watch_transactions,
)
from jobs.services import JobRun, JobType, register

HEX32 = {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}
HEX_NUMBER = {"type": "string", "pattern": "^0x[0-9a-fA-F]{1,64}$"}
ADDRESS = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
BLOCK = {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}
ELECTION_ID = {"type": "integer", "minimum": 0, "maximum": 2**256 - 1}
ZERO_ADDRESS = "0x" + "0" * 40
# A transaction may wait long for a block; a later attempt goes on waiting for the same one.
LIMITS: dict[str, Any] = {
    "queue": "chain",
    "soft_time_limit_seconds": 300,
    "time_limit_seconds": 330,
    "max_attempts": 10,
}


def schema(required: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": required, "required": list(required), "additionalProperties": False}


def on_election(more: dict[str, Any] | None = None) -> dict[str, Any]:
    return schema({"chain_id": {"type": "integer"}, "contract": ADDRESS, "election_id": ELECTION_ID} | (more or {}))


def execute(run: JobRun, function: str, arguments: list[Any], contract: str | None = None) -> dict[str, Any]:
    """Send one call of ElectionManager for a job; every attempt of the job is about the same transaction."""
    run.progress(done=0, total=2, message="sending")
    return send_to_manager(
        nodes=build_nodes(),
        key=f"job:{run.job_id}",
        function=function,
        arguments=arguments,
        contract=contract,
        on_sent=lambda tx_hash: run.progress(done=1, total=2, message=f"sent {tx_hash}"),
    )


def outcome(receipt: dict[str, Any]) -> dict[str, Any]:
    return {"tx_hash": receipt["tx_hash"], "block_number": receipt["block_number"]}


def create_election(run: JobRun, data: dict[str, Any]) -> dict[str, Any]:
    """Send `createElection`."""
    arguments = [
        bytes.fromhex(data["metadata_hash"][2:]),
        data["start_block"],
        data["end_block"],
        data["options"],
        int(data["census_root"] or "0x0", 16),
        data["verifier"] or ZERO_ADDRESS,
    ]
    receipt = execute(run, "createElection", arguments)
    return outcome(receipt) | {"election_id": str(int(receipt["logs"][0]["topics"][1], 16))}


def set_census_root(run: JobRun, data: dict[str, Any]) -> dict[str, Any]:
    """Send `setCensusRoot`."""
    arguments = [data["election_id"], int(data["census_root"], 16)]
    return outcome(execute(run, "setCensusRoot", arguments, data["contract"]))


def cancel_election(run: JobRun, data: dict[str, Any]) -> dict[str, Any]:
    """Send `cancel`."""
    return outcome(execute(run, "cancel", [data["election_id"]], data["contract"]))


def finalise_election(run: JobRun, data: dict[str, Any]) -> dict[str, Any]:
    """Send `finalise`."""
    return outcome(execute(run, "finalise", [data["election_id"]], data["contract"]))


def anchor_root(run: JobRun, data: dict[str, Any]) -> dict[str, Any]:
    """Write the audit log's root on chain."""
    run.progress(done=0, total=2, message="sending")
    return anchor_audit_root(
        nodes=build_nodes(),
        tree_size=data["tree_size"],
        on_sent=lambda tx_hash: run.progress(done=1, total=2, message=f"sent {tx_hash}"),
    )


@shared_task(name="chain.anchor_audit", ignore_result=True)
def anchor_audit() -> None:
    """Start the day's anchoring of the audit log, after its export."""
    start_anchoring()


@shared_task(name="chain.watch_transactions", ignore_result=True)
def watch() -> None:
    """Take up transactions that dead workers left behind."""
    watch_transactions(nodes=build_nodes())


@shared_task(name="chain.reconcile", ignore_result=True)
def recount() -> None:
    """Recount the elections over the second endpoint; the difference is kept and counted."""
    reconcile(rpc_url=settings.CHAIN_RECONCILE_RPC_URL)


OPTIONAL_NUMBER = {"anyOf": [HEX_NUMBER, {"type": "null"}]}
OPTIONAL_ADDRESS = {"anyOf": [ADDRESS, {"type": "null"}]}
register(
    JobType(
        name="chain.create_election",
        description="Create an election on chain",
        input_schema=schema(
            {
                "metadata_hash": HEX32,
                "start_block": BLOCK,
                "end_block": BLOCK,
                "options": {"type": "integer", "minimum": 2, "maximum": 255},
                "census_root": OPTIONAL_NUMBER,
                "verifier": OPTIONAL_ADDRESS,
            }
        ),
        handler=create_election,
        **LIMITS,
    )
)
register(
    JobType(
        name="chain.set_census_root",
        description="Set an election's census root on chain",
        input_schema=on_election({"census_root": HEX_NUMBER}),
        handler=set_census_root,
        **LIMITS,
    )
)
register(
    JobType(
        name="chain.cancel_election",
        description="Cancel an election on chain",
        input_schema=on_election(),
        handler=cancel_election,
        **LIMITS,
    )
)
register(
    JobType(
        name="chain.finalise_election",
        description="Publish an election's tally on chain",
        input_schema=on_election(),
        handler=finalise_election,
        **LIMITS,
    )
)
register(
    JobType(
        name="chain.anchor_audit_root",
        description="Write the audit log's root on chain",
        input_schema=schema({"tree_size": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}}),
        handler=anchor_root,
        **LIMITS,
    )
)
