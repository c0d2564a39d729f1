"""Signed notes (C2SP signed-note, Ed25519), the checkpoints inside them (C2SP tlog-checkpoint), and when they were
signed (C2SP tlog-cosignature, by the log's own key).

Keys are written as Go's `golang.org/x/mod/sumdb/note` writes them: `<name>+<hash>+<base64>` and
`PRIVATE+KEY+<name>+<hash>+<base64>`. Pure: the offline verifier imports it without Django.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
COSIGNATURE = b"\x04"
NAME = re.compile(r"[^\s+]+")
SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+=*)")
MAX_TREE_SIZE = 2**63 - 1


class NoteError(Exception):
    """A note, a checkpoint or a key that cannot be read, or whose signature is not the log's."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree's size and root, under the log's name."""

    origin: str
    tree_size: int
    root_hash: bytes
    signed_at: int | None = None  # POSIX seconds, when its note has a timestamped signature

    def text(self) -> str:
        return f"{self.origin}\n{self.tree_size}\n{base64.b64encode(self.root_hash).decode()}\n"


def key_hash(name: str, public_key: bytes, kind: bytes = ED25519) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + kind + public_key).digest()[:4]


def timed(text: str, at: int) -> bytes:
    """Return what a cosignature at a time signs: the time, then the checkpoint."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{what} is not base64") from error


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A log's public key under the log's name."""

    name: str
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read `<name>+<hash>+<base64>`."""
        name, _, rest = text.strip().partition("+")
        hashed, _, encoded = rest.partition("+")
        if not NAME.fullmatch(name) or not encoded:
            raise NoteError("a verifier key is written <name>+<hash>+<base64>")
        key = _decode(encoded, "the verifier key")
        if len(key) != 33 or key[:1] != ED25519:
            raise NoteError("the verifier key is not an Ed25519 key")
        if key_hash(name, key[1:]).hex() != hashed.lower():
            raise NoteError("the verifier key's hash does not belong to its name and bytes")
        return cls(name, key[1:])

    def __str__(self) -> str:
        encoded = base64.b64encode(ED25519 + self.public_key).decode()
        return f"{self.name}+{key_hash(self.name, self.public_key).hex()}+{encoded}"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A log's private key under the log's name, which is its origin."""

    name: str
    private_key: Ed25519PrivateKey

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """Read `PRIVATE+KEY+<name>+<hash>+<base64>`; its errors never repeat the key."""
        if not text.startswith("PRIVATE+KEY+"):
            raise NoteError("a signing key is written PRIVATE+KEY+<name>+<hash>+<base64>")
        name, _, rest = text.strip().removeprefix("PRIVATE+KEY+").partition("+")
        hashed, _, encoded = rest.partition("+")
        seed = _decode(encoded, "the signing key")
        if not NAME.fullmatch(name) or len(seed) != 33 or seed[:1] != ED25519:
            raise NoteError("the signing key is not a named Ed25519 key")
        key = cls(name, Ed25519PrivateKey.from_private_bytes(seed[1:]))
        if key_hash(name, key.verifier().public_key).hex() != hashed.lower():
            raise NoteError("the signing key's hash does not belong to its name and bytes")
        return key

    @classmethod
    def generate(cls, name: str, seed: bytes | None = None) -> "SigningKey":
        """Make a key for a log's name (a URL without its scheme, by convention)."""
        if not NAME.fullmatch(name):
            raise NoteError("a log's name has no spaces and no plus sign")
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed) if seed else Ed25519PrivateKey.generate())

    def verifier(self) -> VerifierKey:
        return VerifierKey(self.name, self.private_key.public_key().public_bytes_raw())

    def encode(self) -> str:
        """Write the key out; this text is the secret."""
        encoded = base64.b64encode(ED25519 + self.private_key.private_bytes_raw()).decode()
        return f"PRIVATE+KEY+{self.name}+{key_hash(self.name, self.verifier().public_key).hex()}+{encoded}"

    def sign(self, text: str) -> str:
        """Sign a note's text (it ends in a newline)."""
        signature = key_hash(self.name, self.verifier().public_key) + self.private_key.sign(text.encode())
        return f"{text}\n— {self.name} {base64.b64encode(signature).decode()}\n"

    def sign_checkpoint(self, tree_size: int, root_hash: bytes, *, at: int | None = None) -> str:
        """Sign a checkpoint; with a time, also by a line that says when (C2SP tlog-cosignature)."""
        text = Checkpoint(self.name, tree_size, root_hash).text()
        note = self.sign(text)
        if at is None:
            return note
        hashed = key_hash(self.name, self.verifier().public_key, COSIGNATURE)
        signature = hashed + at.to_bytes(8) + self.private_key.sign(timed(text, at))
        return note + f"— {self.name} {base64.b64encode(signature).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's three lines; lines after them are extensions and are ignored."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] != "" or not lines[0]:
        raise NoteError("a checkpoint has a line each for the origin, the size and the root")
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]) or int(lines[1]) > MAX_TREE_SIZE:
        raise NoteError("the checkpoint's size is not a plain decimal number")
    root = _decode(lines[2], "the checkpoint's root")
    if len(root) != 32:
        raise NoteError("the checkpoint's root is not 32 bytes long")
    return Checkpoint(lines[0], int(lines[1]), root)


def open_checkpoint(note: str, keys: "list[VerifierKey]") -> Checkpoint:
    """Check that a note is a checkpoint signed by one of the log's keys; signatures of others are ignored."""
    text, found, signatures = note.rpartition("\n\n")
    if not found or not signatures.endswith("\n"):
        raise NoteError("not a signed note: no empty line before its signatures")
    text += "\n"
    names = []
    signer, signed_at = None, None
    for line in signatures[:-1].split("\n"):
        match = SIGNATURE_LINE.fullmatch(line)
        if not match:
            raise NoteError("a signature line is not well-formed")
        names.append(match[1])
        signature = _decode(match[2], "a signature")
        for key in keys:
            if key.name != match[1]:
                continue
            if signature[:4] == key_hash(key.name, key.public_key):
                _verify(key, signature[4:], text.encode(), "the signature")
                signer = signer or key
            elif signature[:4] == key_hash(key.name, key.public_key, COSIGNATURE):
                at = int.from_bytes(signature[4:12])
                _verify(key, signature[12:], timed(text, at), "the signed time")
                signed_at = at
    if signer is None:
        known = " or ".join(str(key) for key in keys) or "a known key"
        raise NoteError(f"signed by {', '.join(names)}, not by {known}")
    checkpoint = parse_checkpoint(text)
    if checkpoint.origin != signer.name:
        raise NoteError(f"the checkpoint is of the log {checkpoint.origin!r}, its signature by {signer.name!r}")
    return replace(checkpoint, signed_at=signed_at)


def _verify(key: VerifierKey, signature: bytes, signed: bytes, what: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, signed)
    except InvalidSignature as error:
        raise NoteError(f"{what} by {key.name} is wrong") from error
