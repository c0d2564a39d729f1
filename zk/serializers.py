"""Shapes of the proofs API."""

from rest_framework import serializers


class DownloadSerializer(serializers.Serializer):
    url = serializers.CharField()
    sha256 = serializers.CharField()
    sizeBytes = serializers.IntegerField()


class FilesSerializer(serializers.Serializer):
    wasm = DownloadSerializer()
    zkey = DownloadSerializer()
    vkey = DownloadSerializer()
    r1cs = DownloadSerializer(required=False)


class CircuitSerializer(serializers.Serializer):
    """A circuit, with all that a voter's own device needs to prove by itself."""

    name = serializers.CharField()
    version = serializers.IntegerField()
    versions = serializers.ListField(child=serializers.IntegerField())
    title = serializers.CharField()
    description = serializers.CharField()
    origin = serializers.CharField()
    isDevelopment = serializers.BooleanField(help_text="Keys from one machine: they prove nothing to a stranger")
    isAvailable = serializers.BooleanField()
    constraints = serializers.IntegerField()
    publicSignals = serializers.ListField(child=serializers.CharField())
    inputSchema = serializers.JSONField(help_text="JSON Schema of the body of POST")
    files = FilesSerializer()


class ProofSerializer(serializers.Serializer):
    """A proof, or the job that makes it."""

    circuit = serializers.CharField()
    version = serializers.IntegerField()
    status = serializers.ChoiceField(["queued", "running", "succeeded", "failed", "cancelled"])
    job = serializers.UUIDField(required=False)
    isCached = serializers.BooleanField(required=False)
    proof = serializers.JSONField(required=False, help_text="snarkjs's format")
    pubSignals = serializers.ListField(child=serializers.CharField(), required=False)
    signals = serializers.DictField(child=serializers.CharField(), required=False, help_text="pubSignals by name")
    points = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="eligibility only: the proof as uint256[8]"
    )
    merkleTreeDepth = serializers.IntegerField(required=False)
    calldata = serializers.JSONField(required=False, help_text="with ?format=calldata, in place of the proof")
    problem = serializers.JSONField(required=False, help_text="why the job failed")


class VerificationSerializer(serializers.Serializer):
    circuit = serializers.CharField()
    version = serializers.IntegerField()
    isValid = serializers.BooleanField()
    pubSignals = serializers.ListField(child=serializers.CharField())
    signals = serializers.DictField(child=serializers.CharField())
