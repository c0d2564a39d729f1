"""`manage.py create_election`."""

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from audit.models import Entry
from elections.models import Metadata
from elections.tests import factories as make
from jobs.models import Job

pytestmark = pytest.mark.django_db
GOOD = ["create_election", "A new bridge", "--option", "Yes", "--option", "No", "--start-in", "5", "--blocks", "20"]


def test_it_starts_the_job_and_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    make.head_at(100)
    call_command(*GOOD)
    job = Job.objects.get()
    assert (job.type, job.input["start_block"], job.input["end_block"], job.owner) == (
        "chain.create_election",
        105,
        125,
        None,
    )
    assert str(job.pk) in capsys.readouterr().out
    assert Metadata.objects.get().document["options"] == ["Yes", "No"]
    entry = Entry.objects.get(action="elections.election.requested")
    assert entry.actor == "command:create_election"


def test_it_reads_the_metadata_from_a_file(tmp_path: Path) -> None:
    make.head_at(100)
    document = {"title": "From a file", "description": "", "options": ["a", "b", "c"]}
    file = tmp_path / "metadata.json"
    file.write_text(json.dumps(document))
    call_command(*GOOD, "--metadata", str(file))
    assert Metadata.objects.get().document == document


@pytest.mark.parametrize(
    "arguments",
    [
        ["create_election", "One option", "--option", "Yes"],
        [*GOOD, "--verifier", "0x12"],
        [*GOOD, "--census-root", "0x" + "1" * 64],
        [*GOOD, "--metadata", "/nowhere.json"],
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(arguments: list[str]) -> None:
    make.head_at(100)
    with pytest.raises(CommandError):
        call_command(*arguments)
    assert not Job.objects.exists()
    assert not Metadata.objects.exists()


def test_before_any_block_it_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="index_chain"):
        call_command(*GOOD)
