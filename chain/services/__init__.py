"""Every rule and every write of `chain`."""

from chain.services.deployment import await_receipt, deploy_contracts, is_deployed, read_deployment

__all__ = ["await_receipt", "deploy_contracts", "is_deployed", "read_deployment"]
