"""EdDSA over BabyJubJub with Poseidon, as circomlib and Semaphore identities use it (ERC-2494; RFC 8032's shape)."""

from dataclasses import dataclass

from zk.poseidon import FIELD_MODULUS as P
from zk.poseidon import poseidon

A, D = 168700, 168696
# The order of the prime subgroup; the curve's cofactor is 8.
SUBGROUP_ORDER = 2736030358979909402780800718157159386076813972158567259200215660948447373041
BASE8 = (
    5299619240641551281634865583518297030282874472190772894086521144482721001553,
    16950150798460657717958625567821834550301663161624707787222815936182638968203,
)
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


@dataclass(frozen=True, slots=True)
class Signature:
    r8: Point
    s: int


def is_on_curve(point: Point) -> bool:
    """Tell whether both coordinates are field elements and the point satisfies a·x² + y² = 1 + d·x²·y²."""
    x, y = point
    if not (0 <= x < P and 0 <= y < P):
        return False
    x2, y2 = x * x % P, y * y % P
    return (A * x2 + y2 - 1 - D * x2 * y2) % P == 0


def add(left: Point, right: Point) -> Point:
    return _affine(_add(_projective(left), _projective(right)))


def multiply(point: Point, scalar: int) -> Point:
    result, base = (0, 1, 1), _projective(point)
    while scalar:
        if scalar & 1:
            result = _add(result, base)
        base = _add(base, base)
        scalar >>= 1
    return _affine(result)


def is_in_subgroup(point: Point) -> bool:
    """Tell whether a point is on the curve, in the prime subgroup and not the identity."""
    return is_on_curve(point) and point != IDENTITY and multiply(point, SUBGROUP_ORDER) == IDENTITY


def public_key_of(secret: int) -> Point:
    """Return the public key of a Semaphore identity's secret scalar."""
    return multiply(BASE8, secret)


def commitment_of(public_key: Point) -> int:
    """Return a Semaphore v4 identity commitment: Poseidon of the public key."""
    return poseidon(list(public_key))


def sign(*, secret: int, message: int, nonce: int) -> Signature:
    """Sign with a secret scalar; `nonce` must be random and never used twice.

    The server only verifies: this serves tests and the demo's voters, which sign for their own identities.
    """
    public_key = public_key_of(secret)
    r8 = multiply(BASE8, nonce)
    challenge = poseidon([*r8, *public_key, message])
    # The verifier multiplies the public key by eight times the challenge.
    return Signature(r8, (nonce + 8 * challenge * secret) % SUBGROUP_ORDER)


def verify(*, public_key: Point, signature: Signature, message: int) -> bool:
    """Tell whether a signature is the key's; keys and points outside of the prime subgroup are refused."""
    if not 0 <= message < P or not 0 <= signature.s < SUBGROUP_ORDER:
        return False
    if not is_in_subgroup(public_key) or not is_on_curve(signature.r8):
        return False
    challenge = poseidon([*signature.r8, *public_key, message])
    return multiply(BASE8, signature.s) == add(signature.r8, multiply(public_key, 8 * challenge))


_Projective = tuple[int, int, int]


def _projective(point: Point) -> _Projective:
    return point[0], point[1], 1


def _affine(point: _Projective) -> Point:
    inverse = pow(point[2], -1, P)
    return point[0] * inverse % P, point[1] * inverse % P


def _add(left: _Projective, right: _Projective) -> _Projective:
    # add-2008-bbjlp: complete on this curve, so it doubles too.
    x1, y1, z1 = left
    x2, y2, z2 = right
    a = z1 * z2 % P
    b = a * a % P
    c = x1 * x2 % P
    d = y1 * y2 % P
    e = D * c * d % P
    f = (b - e) % P
    g = (b + e) % P
    x3 = a * f * ((x1 + y1) * (x2 + y2) - c - d) % P
    y3 = a * g * (d - A * c) % P
    return x3, y3, f * g % P
