"""What can go wrong with proofs."""

from typing import Any

from rest_framework.exceptions import APIException


class CircuitUnknown(APIException):
    status_code = 404
    default_code = "circuit_unknown"
    default_detail = "There is no circuit of this name and version; GET /api/zk lists them."


class DevelopmentKeysRefused(APIException):
    status_code = 503
    default_code = "development_keys_refused"
    default_detail = "This circuit has only development keys here, and those prove nothing. A ceremony must be held."


class ArtifactMissing(APIException):
    status_code = 503
    default_code = "artifact_missing"
    default_detail = "A file of this circuit is not installed."


class ArtifactAltered(APIException):
    status_code = 503
    default_code = "artifact_altered"
    default_detail = "A file of this circuit is not the one that the manifest names."


class InputNotValid(APIException):
    """The input cannot satisfy the circuit; `errors` names the fields."""

    status_code = 422
    default_code = "input_not_valid"
    default_detail = "The input is not valid for this circuit; see `errors`."

    def __init__(self, errors: list[dict[str, str]], *, code: str | None = None, detail: str | None = None) -> None:
        super().__init__(detail=detail, code=code)
        self.extra: dict[str, Any] = {"errors": errors}


class ProofMalformed(APIException):
    status_code = 422
    default_code = "proof_malformed"
    default_detail = "This is not a Groth16 proof with its public signals in snarkjs's format."


class DailyQuotaUsed(APIException):
    status_code = 429
    default_code = "daily_quota_used"
    default_detail = "You have asked for as many proofs as a day allows."

    def __init__(self, *, wait: int) -> None:
        super().__init__()
        # DRF turns it into Retry-After.
        self.wait = wait


class ProofJobUnknown(APIException):
    status_code = 404
    default_code = "job_unknown"
    default_detail = "You have no proof job of this id for this circuit."


class ProofExpired(APIException):
    status_code = 410
    default_code = "proof_expired"
    default_detail = "The proof was made, but is kept no longer. Ask for it again."


class ProverUnavailable(APIException):
    status_code = 503
    default_code = "prover_unavailable"
    default_detail = "The prover cannot answer at the moment."


class ConstraintNotSatisfied(APIException):
    """The circuit refused the witness; the detail names the template and line where the circuit tells."""

    status_code = 422
    default_code = "constraint_not_satisfied"
    default_detail = "The input does not satisfy the circuit."


class ProverGaveUp(APIException):
    """The prover failed in the last attempt too; the code says how."""

    status_code = 424
    default_code = "prover_failed"
    default_detail = "The prover could not make the proof."
