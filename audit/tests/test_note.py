import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.note import NoteError, SigningKey, VerifierKey, open_checkpoint, parse_checkpoint

# Key and note of https://pkg.go.dev/golang.org/x/mod/sumdb/note, "PeterNeumann".
GO_KEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SIGNED = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ORIGIN = "log.example/audit"
KEY = SigningKey.generate(ORIGIN, bytes(range(32)))
ROOT = bytes(range(32))


def test_keys_and_signatures_are_those_of_gos_note_package():
    key = SigningKey.parse(GO_KEY)
    assert (key.encode(), str(key.verifier()), str(VerifierKey.parse(GO_VERIFIER))) == (
        GO_KEY,
        GO_VERIFIER,
        GO_VERIFIER,
    )
    assert key.sign(GO_SIGNED.partition("\n\n")[0] + "\n") == GO_SIGNED


@given(size=st.integers(0, 2**63 - 1), root=st.binary(min_size=32, max_size=32))
def test_a_checkpoint_opens_with_its_key(size, root):
    note = KEY.sign_checkpoint(size, root)
    opened = open_checkpoint(note, [KEY.verifier()])
    assert (opened.origin, opened.tree_size, opened.root_hash) == (ORIGIN, size, root)
    with pytest.raises(NoteError):
        open_checkpoint(note, [SigningKey.generate(ORIGIN).verifier()])
    with pytest.raises(NoteError):
        open_checkpoint(note, [])


@pytest.mark.slow
@given(data=st.data())
def test_no_changed_byte_of_a_checkpoint_opens(data):
    note = KEY.sign_checkpoint(7, ROOT)
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda char: char != note[at]))
    changed = note[:at] + other + note[at + 1 :]
    try:
        opened = open_checkpoint(changed, [KEY.verifier()])
    except NoteError:
        return
    # The last base64 digit has bits that decode to nothing.
    assert (opened.tree_size, opened.root_hash, at) == (7, ROOT, len(note) - 3)


def test_a_checkpoint_signed_by_others_too_opens():
    other = SigningKey.generate("witness.example")
    note = KEY.sign_checkpoint(7, ROOT)
    cosigned = note + other.sign_checkpoint(7, ROOT).rpartition("\n\n")[2]
    assert open_checkpoint(cosigned, [KEY.verifier()]).tree_size == 7


@given(at=st.integers(0, 2**63 - 1), other=st.integers(0, 2**63 - 1))
def test_the_time_of_a_signature_is_signed(at, other):
    note = KEY.sign_checkpoint(7, ROOT, at=at)
    assert open_checkpoint(note, [KEY.verifier()]).signed_at == at
    # As C2SP tlog-cosignature has it: key type 4, the time in 64 bits, and the text that it is for.
    line = note.rstrip("\n").rpartition("\n")[2]
    raw = base64.b64decode(line.rpartition(" ")[2])
    assert raw[:4] == hashlib.sha256(f"{ORIGIN}\n".encode() + b"\x04" + KEY.verifier().public_key).digest()[:4]
    KEY.private_key.public_key().verify(
        raw[12:], f"cosignature/v1\ntime {at}\n".encode() + note.partition("\n\n")[0].encode() + b"\n"
    )
    forged = base64.b64encode(raw[:4] + other.to_bytes(8) + raw[12:]).decode()
    if other != at:
        with pytest.raises(NoteError, match="the signed time"):
            open_checkpoint(note.replace(line, f"— {ORIGIN} {forged}"), [KEY.verifier()])


def test_a_time_alone_does_not_sign_a_checkpoint():
    text, lines = KEY.sign_checkpoint(7, ROOT, at=1).split("\n\n")
    with pytest.raises(NoteError, match="signed by"):
        open_checkpoint(f"{text}\n\n" + lines.split("\n")[1] + "\n", [KEY.verifier()])
    with pytest.raises(NoteError):
        open_checkpoint(f"{text}\n\n— {ORIGIN} " + base64.b64encode(b"abcdef").decode() + "\n", [KEY.verifier()])


def test_a_checkpoint_of_another_origin_under_our_key_is_refused():
    note = KEY.sign("elsewhere.example\n7\n" + "A" * 43 + "=\n")
    with pytest.raises(NoteError, match="is of the log"):
        open_checkpoint(note, [KEY.verifier()])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n",
        "a\n1\n",
        "a\n-1\nAAAA\n",
        "a\n01\n" + "A" * 43 + "=\n",
        "a\n1\nAAAA\n",
        "a\n9223372036854775808\n" + "A" * 43 + "=\n",
        "a\n1\n!\n",
        "\n1\n" + "A" * 43 + "=\n",
        "a\n\u0661\n" + "A" * 43 + "=\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text):
    with pytest.raises(NoteError):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a+b",
        "a+00000000+AAAA",
        "a b+00000000+AQ==",
        "a+00000000+" + "A" * 44,
        GO_VERIFIER.replace("c74f", "c74e"),
        GO_KEY,
    ],
)
def test_a_malformed_key_is_refused(text):
    with pytest.raises(NoteError):
        VerifierKey.parse(text)
    if text != GO_KEY:
        with pytest.raises(NoteError):
            SigningKey.parse(text)
        with pytest.raises(NoteError):
            SigningKey.parse("PRIVATE+KEY+" + text)


def test_an_error_never_repeats_a_private_key():
    for broken in (GO_KEY[:-4], GO_KEY.replace("c74f20a3", "00000000"), GO_KEY + "!"):
        with pytest.raises(NoteError) as refused:
            SigningKey.parse(broken)
        assert "AYEKFALV" not in str(refused.value)


def test_a_name_with_spaces_is_refused():
    with pytest.raises(NoteError):
        SigningKey.generate("a b")
