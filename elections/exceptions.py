"""What can go wrong with elections."""

from rest_framework.exceptions import APIException


class ElectionNotFound(APIException):
    status_code = 404
    default_code = "election_not_found"
    default_detail = "There is no election with this id."


class MetadataMismatch(APIException):
    status_code = 422
    default_code = "metadata_hash_mismatch"
    default_detail = "The document's hash is not the one in the address."


class MetadataNotReferenced(APIException):
    status_code = 404
    default_code = "metadata_not_referenced"
    default_detail = "No election names metadata with this hash."


class ElectionFinished(APIException):
    status_code = 409
    default_code = "election_finished"
    default_detail = "The election is tallied or cancelled; nothing more can be done to it."


class ElectionNotClosed(APIException):
    status_code = 409
    default_code = "election_not_closed"
    default_detail = "The election still runs; it can be finalised from its end block on."


class ContractUnknown(APIException):
    status_code = 409
    default_code = "no_head_known"
    default_detail = "No block of the chain has been indexed yet, so start and end cannot be checked."
