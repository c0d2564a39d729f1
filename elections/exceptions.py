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


class ElectionClosed(APIException):
    status_code = 409
    default_code = "election_closed"
    default_detail = "Voting has ended: the result stands, and can only be finalised."


class ElectionNotClosed(APIException):
    status_code = 409
    default_code = "election_not_closed"
    default_detail = "The election still runs; it can be finalised from its end block on."


class NoCensus(APIException):
    status_code = 409
    default_code = "no_census"
    default_detail = "This is an open ballot, or its census was fixed when it was created: nobody registers for it."


class RegistrationClosed(APIException):
    status_code = 409
    default_code = "registration_closed"
    default_detail = "Registration for this election has ended."


class CensusEmpty(APIException):
    status_code = 409
    default_code = "census_empty"
    default_detail = "Nobody has registered: there is no root to set."


class AlreadyRegistered(APIException):
    status_code = 409
    default_code = "already_registered"
    default_detail = "You have registered for this election with another identity."


class CommitmentTaken(APIException):
    status_code = 409
    default_code = "commitment_taken"
    default_detail = "This identity is registered already."


class CensusFull(APIException):
    status_code = 409
    default_code = "census_full"
    default_detail = "The census holds as many members as its proofs allow."


class EidRequired(APIException):
    status_code = 403
    default_code = "eid_required"
    default_detail = "Sign in with your eID to register."


class PossessionNotProved(APIException):
    status_code = 422
    default_code = "possession_not_proved"
    default_detail = "The signature is not this identity's over the election's scope."


class NotInCensus(APIException):
    status_code = 404
    default_code = "not_in_census"
    default_detail = "No member of the census has this commitment."


class BadParameter(APIException):
    """A parameter of a socket's address; the code names it."""

    status_code = 400
    default_code = "bad_parameter"
    default_detail = "A parameter is not valid."
