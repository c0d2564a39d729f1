"""What can go wrong with the audit log."""

from rest_framework import status
from rest_framework.exceptions import APIException


class NotYetInLog(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "not_yet_in_log"
    default_detail = "No signed checkpoint covers this entry yet; ask again in a few seconds."


class UnknownEntry(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "unknown_entry"
    default_detail = "There is no such entry."


class NoCheckpoint(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "no_checkpoint"
    default_detail = "The log has no signed checkpoint of this size."


class UnknownTile(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "unknown_tile"
    default_detail = "The checkpointed tree has no such tile."


class SequencerHalted(Exception):
    """The log in the database is not the one that its last checkpoint signed; going on would sign a fork."""


class MayNotSequence(Exception):
    """The database role may not write the log's leaves, tiles and checkpoints."""


class NothingToExport(Exception):
    """There is no signed checkpoint past the last export."""


class NoSigningKey(Exception):
    """`AUDIT_SIGNING_KEY` is not set."""


class NothingToAnchor(Exception):
    """The last checkpoint is anchored already, or there is none."""
