"""Shapes of a census's input and output."""

import re
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.serializers import StrictSerializer
from elections.census_selectors import MAX_MEMBERS_PAGE

DECIMAL = re.compile(r"0|[1-9][0-9]{0,76}", re.ASCII)


@extend_schema_field({"type": "string", "pattern": "^(0|[1-9][0-9]{0,76})$"})
class DecimalField(serializers.Field):
    """An integer below 2^256 as a decimal string: JSON's numbers lose digits."""

    default_error_messages = {"invalid": "Must be a decimal number in a string, without sign or zeros ahead."}

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, str) or not DECIMAL.fullmatch(data):
            self.fail("invalid")
        return int(data)

    def to_representation(self, value: int) -> str:
        return str(value)


class PointField(serializers.ListField):
    """A point of BabyJubJub, both coordinates as decimal strings."""

    child = DecimalField()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_length=2, max_length=2, **kwargs)


class SignatureSerializer(StrictSerializer):
    r8 = PointField()
    s = DecimalField()


class RegistrationSerializer(StrictSerializer):
    """A Semaphore identity's public key, and its EdDSA signature over the election's scope."""

    public_key = PointField()
    signature = SignatureSerializer()


class CensusParametersSerializer(StrictSerializer):
    offset = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    limit = serializers.IntegerField(min_value=0, max_value=MAX_MEMBERS_PAGE, default=0)


class ProofParametersSerializer(StrictSerializer):
    commitment = DecimalField()


class CensusSerializer(serializers.Serializer[Any]):
    election = serializers.CharField()
    scope = serializers.CharField(help_text="What registrations sign and proofs are bound to")
    is_open = serializers.BooleanField(help_text="Whether people may register now")
    registration_ends = serializers.IntegerField(help_text="The first block in which they may not", allow_null=True)
    size = serializers.IntegerField()
    depth = serializers.IntegerField()
    root = serializers.CharField(help_text="Decimal; final once registration has ended")  # type: ignore[assignment]
    root_on_chain = serializers.CharField(allow_null=True)
    commitments = serializers.ListField(
        child=serializers.CharField(), help_text="With `limit`: from `offset` on, in the tree's order"
    )


class MemberSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    commitment = serializers.CharField()
    size = serializers.IntegerField()


class MerkleProofSerializer(serializers.Serializer[Any]):
    """A Merkle proof as @semaphore-protocol/group makes it."""

    root = serializers.CharField()  # type: ignore[assignment]
    leaf = serializers.CharField()
    index = serializers.IntegerField(help_text="merkleProofIndex: the path's bits")
    siblings = serializers.ListField(child=serializers.CharField())
