"""What somebody with every right changes in the database is found and named."""

import json

import pytest

from audit.models import Entry, Verification
from audit.note import SigningKey
from audit.services import export_log, record, sequence_all, verify_log
from audit.tests.factories import findings, rewrite_everything, tamper, write

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_whole_log_is_whole(log):
    write(3)
    report = verify_log(processes=1)
    assert (report.exit_code, report.findings, report.tree_size) == (0, [], 300)
    assert Verification.objects.get().outcome == "whole"
    assert report.counts == {"entries": 300, "checkpoints": 1}
    assert Entry.objects.filter(action="audit.log.verified").exists()


def test_an_empty_log_is_whole():
    assert findings() == []


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("action", "'x'", 'action: is "x", was logged as "tests.written"'),
        ("actor", "'x'", 'actor: is "x", was logged as "system"'),
        ("target", "'x'", 'target: is "x", was logged as "thing:7"'),
        ("request_id", "'x'", 'request_id: is "x", was logged as ""'),
        ("data", "'{\"n\": 8}'", 'data: is {"n":8}, was logged as {"n":7}'),
        ("created_at", "'2026-01-02 03:04:05+00'", 'created_at: is "2026-01-02T03:04:05.000000Z", was logged as "'),
        ("transaction", "1", "transaction: is 1, was logged as "),
        ("id", "'00000000-0000-7000-8000-000000000000'", "its row in audit_entry is gone"),
        # A row cannot pass for another by quoting what follows it.
        ("action", '\'tests.written","actor":"system\'', "action: is "),
    ],
)
def test_each_column_of_an_entry(log, column, value, said):
    tamper(f"UPDATE audit_entry SET {column} = {value} WHERE id = (SELECT entry_id FROM audit_leaf WHERE seq = 7)")
    [found] = findings()
    assert found.startswith(f"entry 7: {said}"), found


@pytest.mark.parametrize("column", ["action", "actor", "target", "request_id"])
@pytest.mark.parametrize("kept", ["a\nb", "a\\b", 'a"b', "a\u2028\x7fb"])
def test_a_row_cannot_pass_for_another_by_spelling_its_escapes(column, kept):
    write(1)
    entry = Entry.objects.create(**{"action": "tests.written", "actor": "system", column: kept})
    sequence_all()
    assert findings() == []
    spelt = json.dumps(kept, ensure_ascii=False)[1:-1]
    if spelt != kept:
        tamper(f"UPDATE audit_entry SET {column} = $${spelt}$$ WHERE id = '{entry.pk}'")
        [found] = findings()
        assert found.startswith(f"entry 1: {column}: is {json.dumps(spelt)}, was logged as {json.dumps(kept)}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (
            "body",
            "replace(body, 'tests.', 'texts.')",
            ["entry 7: its canonical bytes (body) were changed; its row and its hash were not"],
        ),
        ("body", "'{'", ["entry 7: its canonical bytes (body) are not JSON"]),
        ("body", "body || ' '", ["entry 7: its canonical bytes (body) were changed; its row and its hash were not"]),
        ("entry_hash", "sha256('x')", ["entry 7: entry_hash: is not the SHA-256 of its canonical bytes"]),
        ("entry_hash", "''", ["entry 7: entry_hash: is not the SHA-256 of its canonical bytes"]),
        ("seq", "9000", ["entry 7: missing from the chain", "entries 300 to 8999: missing from the chain"]),
        ("entry_id", "'00000000-0000-7000-8000-000000000000'", ["entry 7: its row in audit_entry is gone"]),
    ],
)
def test_each_column_of_a_leaf(log, column, value, said):
    tamper(f"UPDATE audit_leaf SET {column} = {value} WHERE seq = 7")
    found = findings()
    assert found[: len(said)] == said


def test_a_leaf_at_a_number_far_away_is_found_without_looking_for_those_between(log):
    tamper("UPDATE audit_leaf SET seq = 9223372036854775807 WHERE seq = 299")
    found = findings()
    assert found[:2] == [
        "entries 299 to 9223372036854775806: missing from the chain",
        "leaf 9223372036854775807: behind a hole that is wider than the log: not looked at",
    ]
    assert found[2].startswith("entry 299: missing: the log's tail was cut")


def test_true_does_not_pass_for_1(log):
    tamper("UPDATE audit_entry SET data = '{\"n\": true}' WHERE id = (SELECT entry_id FROM audit_leaf WHERE seq = 1)")
    assert findings() == ['entry 1: data: is {"n":true}, was logged as {"n":1}']


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "20000-01-01"])
def test_a_moment_that_no_clock_shows(log, moment):
    try:
        tamper(
            "ALTER TABLE audit_entry DROP CONSTRAINT audit_entry_created_at_range",
            f"UPDATE audit_entry SET created_at = '{moment}'"
            " WHERE id = (SELECT entry_id FROM audit_leaf WHERE seq = 7)",
        )
        [found] = findings()
        assert found.startswith("entry 7: created_at: is ")
    finally:
        tamper(
            "UPDATE audit_entry SET created_at = now() WHERE created_at > '9000-01-01' OR created_at < '1970-01-01'",
            "ALTER TABLE audit_entry ADD CONSTRAINT audit_entry_created_at_range"
            " CHECK (created_at >= '1970-01-01 00:00:00+00' AND created_at < '9999-01-01 00:00:00+00')",
        )


def test_a_changed_row_with_changed_bytes_and_hash_breaks_the_link_and_the_tile(log):
    tamper(
        "UPDATE audit_entry SET actor = 'x' WHERE id = (SELECT entry_id FROM audit_leaf WHERE seq = 7)",
        'UPDATE audit_leaf SET body = replace(body, \'"actor":"system"\', \'"actor":"x"\') WHERE seq = 7',
        "UPDATE audit_leaf SET entry_hash = sha256(body::bytea) WHERE seq = 7",
    )
    found = findings()
    assert found[0] == "entry 8: previous: does not name the hash of the entry before it"
    assert "tile 0/0: hash 7 is not that of entry 7" in found
    assert any(line.startswith("checkpoint ") for line in found)


def test_two_entries_swapped(log):
    tamper(
        "UPDATE audit_leaf SET seq = 9000 WHERE seq = 5",
        "UPDATE audit_leaf SET seq = 5 WHERE seq = 6",
        "UPDATE audit_leaf SET seq = 6 WHERE seq = 9000",
    )
    found = findings()
    assert "entry 5: seq: stands at 5, was logged as 6" in found
    assert "entry 6: seq: stands at 6, was logged as 5" in found


def test_the_content_of_two_entries_swapped(log):
    tamper(
        "CREATE TEMPORARY TABLE pair AS SELECT seq, entry_id FROM audit_leaf WHERE seq IN (5, 6)",
        "UPDATE audit_leaf SET entry_id = gen_random_uuid() WHERE seq = 5",
        "UPDATE audit_leaf SET entry_id = (SELECT entry_id FROM pair WHERE seq = 5) WHERE seq = 6",
        "UPDATE audit_leaf SET entry_id = (SELECT entry_id FROM pair WHERE seq = 6) WHERE seq = 5",
    )
    found = findings()
    assert [line[:12] for line in found if ": id: " in line] == ["entry 5: id:", "entry 6: id:"]


def test_an_entry_removed(log):
    tamper(
        "DELETE FROM audit_entry WHERE id = (SELECT entry_id FROM audit_leaf WHERE seq = 260)",
        "DELETE FROM audit_leaf WHERE seq = 260",
    )
    assert findings()[0] == "entry 260: missing from the chain"


def test_an_entry_removed_and_the_rest_moved_up(log):
    tamper(
        "DELETE FROM audit_leaf WHERE seq = 260",
        "UPDATE audit_leaf SET seq = seq + 9000 WHERE seq > 260",
        "UPDATE audit_leaf SET seq = seq - 9001 WHERE seq > 9000",
    )
    found = findings()
    assert "entry 260: seq: stands at 260, was logged as 261" in found
    assert "entry 260: previous: does not name the hash of the entry before it" in found
    assert "entry 299: missing: the log's tail was cut, checkpoint" in "".join(found)


def test_an_entry_inserted(log):
    forged = record(action="tests.forged")
    tamper(
        "UPDATE audit_leaf SET seq = seq + 9000 WHERE seq >= 100",
        "UPDATE audit_leaf SET seq = seq - 8999 WHERE seq > 9000",
        "INSERT INTO audit_leaf (seq, entry_id, body, entry_hash)"
        f" SELECT 100, '{forged}', body, entry_hash FROM audit_leaf WHERE seq = 99",
    )
    found = findings()
    assert any(line.startswith("entry 100: ") for line in found)
    assert "tile 0/0: hashes 100 to 255 are not those from entry 100 on" in found


def test_an_entry_hidden_behind_a_number_that_is_none(log):
    hidden = record(action="tests.hidden")
    try:
        tamper(
            "ALTER TABLE audit_leaf DROP CONSTRAINT audit_leaf_seq",
            f"INSERT INTO audit_leaf (seq, entry_id, body, entry_hash) VALUES (-7, '{hidden}', '{{}}', '')",
        )
        sequence_all()
        assert findings() == [f"leaf -7: hides the entry {hidden}: the log's numbers begin at 0"]
    finally:
        tamper(
            "DELETE FROM audit_leaf WHERE seq < 0",
            "ALTER TABLE audit_leaf ADD CONSTRAINT audit_leaf_seq CHECK (seq >= 0)",
        )


def test_the_tail_cut(log):
    tamper(
        "DELETE FROM audit_entry WHERE id IN (SELECT entry_id FROM audit_leaf WHERE seq >= 290)",
        "DELETE FROM audit_leaf WHERE seq >= 290",
    )
    [found] = findings()
    assert found.startswith("entries 290 to 299: missing: the log's tail was cut, checkpoint")


def test_the_tail_cut_with_the_checkpoints_over_it(log, export_folder):
    export_log()
    write(10)
    sequence_all()
    tamper(
        "DELETE FROM audit_entry WHERE id IN (SELECT entry_id FROM audit_leaf WHERE seq >= 290)",
        "DELETE FROM audit_leaf WHERE seq >= 290",
        "DELETE FROM audit_checkpoint",
    )
    found = findings()
    assert any("tail was cut, export " in line for line in found)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE audit_tile SET hashes = overlay(hashes placing sha256('x') from 1 + 32 * 5)",
            "tile 0/0: hash 5 is not that of entry 5",
        ),
        ("UPDATE audit_tile SET root = sha256('x')", "tile 0/0: its root is not the root over its entries"),
        ("UPDATE audit_tile SET index = 7", "tile 0/0: is missing"),
        ("UPDATE audit_tile SET level = 1", "tile 1/0: there are no entries for it"),
        ("DELETE FROM audit_tile", "tile 0/0: is missing"),
    ],
)
def test_a_tile(log, statement, said):
    tamper(statement)
    assert said in findings()


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("tree_size = 299", "tree_size: is 299, was signed as 300"),
        ("root_hash = sha256('x')", "root_hash: is not the signed one"),
        ("created_at = created_at - interval '1 second'", " UTC, was signed as 20"),
        ("created_at = created_at + interval '1 microsecond'", "created_at: is 20"),
        ("created_at = 'infinity'", "created_at: is infinity UTC, was signed as 20"),
        ("note = regexp_replace(note, E'— [^\\n]+\\n$', '')", "note: has no signed time"),
        (
            "note = replace(note, E'\\n300\\n', E'\\n299\\n')",
            "the signature by psephos.localhost/insecure-development is wrong",
        ),
        ("note = ''", "not a signed note: no empty line before its signatures"),
        ("note = note || 'x'", "not a signed note"),
    ],
)
def test_a_checkpoint(log, assignment, said):
    tamper(f"UPDATE audit_checkpoint SET {assignment}")
    assert said in "".join(findings())


def test_everything_rewritten_without_the_key(log):
    rewrite_everything(SigningKey.generate("psephos.localhost/insecure-development"))
    [found] = findings()
    assert "not by psephos.localhost/insecure-development+" in found


def test_everything_rewritten_with_the_key_is_betrayed_by_the_exports(log, settings):
    export = export_log()
    rewrite_everything(SigningKey.parse(settings.AUDIT_SIGNING_KEY))
    found = findings()
    assert f"export {export.name}: entry 7: differs from the database's: actor" in found
    assert f"export {export.name}: entries 8 to 299: differs from the database's: previous" in found
    assert f"export {export.name}: the entries of today do not have the root that it vouches for" in found
