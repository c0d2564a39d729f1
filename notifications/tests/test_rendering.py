"""Every template in every language says what it should, and nothing is missing."""

import re
import uuid
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation
from django.utils.translation.template import templatize
from hypothesis import given
from hypothesis import strategies as st

from notifications.exceptions import TemplateIncomplete
from notifications.models import Channel, Event, Language, Notification
from notifications.services.rendering import GSM_7, MAX_SUBJECT, engine, render, single_line
from notifications.services.samples import SAMPLE_ELECTION, sample_payload

EVENTS = [event.value for event in Event if event != Event.TEST]
FOLDER = settings.BASE_DIR / "notifications"


def made(event: str, *, language: str = "en", channel: str = "email", **payload: object) -> Notification:
    return Notification(
        event=event,
        election=SAMPLE_ELECTION,
        channel=channel,
        language=language,
        time_zone="Europe/Sofia",
        payload=sample_payload(event) | payload,
        user_id=uuid.uuid4(),
    )


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("language", Language.values)
@pytest.mark.parametrize("channel", Channel.values)
def test_each_template_renders_with_all_it_names(event, language, channel):
    rendered = render(made(event, language=language, channel=channel))
    whole = rendered.subject + rendered.text + rendered.html
    assert rendered.text.strip()
    assert "{{" not in whole
    assert "None" not in whole
    if event != Event.CONFIRMATION:
        assert f"/e/{SAMPLE_ELECTION}" in rendered.text
    if channel == Channel.EMAIL:
        assert "\n" not in rendered.subject
        assert f'<html lang="{language}">' in rendered.html
        assert "prefers-color-scheme: dark" in rendered.html
        if event != Event.CONFIRMATION:
            assert rendered.unsubscribe_url in rendered.text
            assert rendered.unsubscribe_url in rendered.html
    else:
        # Three segments: 153 characters each of GSM-7, 67 of UCS-2. The election's address takes its part.
        is_gsm = rendered.text.isascii()
        assert len(rendered.text) <= 3 * (153 if is_gsm else 67), len(rendered.text)
    has_cyrillic = bool(re.search("[а-я]", rendered.text))
    assert has_cyrillic == (language == "bg")


def test_each_variable_that_a_payload_lacks_is_an_error_not_a_gap():
    for event in EVENTS:
        for name in sample_payload(event):
            if event != Event.TALLIED and name == "totals":
                continue
            row = made(event)
            del row.payload[name]
            with pytest.raises(TemplateIncomplete):
                render(row)


def test_an_unknown_variable_in_a_template_is_an_error():
    with pytest.raises(TemplateIncomplete, match="nonsense"):
        engine().from_string("Dear {{ nonsense }}").render({})
    with pytest.raises(TemplateIncomplete, match=r"row\.nonsense"):
        engine().from_string("{{ row.nonsense }}").render({"row": {}})


def test_numbers_and_dates_are_the_readers():
    english = render(made("tallied")).text
    assert "By the river: 10,482 (50.9%)" in english
    bulgarian = render(made("tallied", language="bg")).text
    assert "By the river: 10\u00a0482 (50,9\u00a0%)" in bulgarian
    assert "6 December 2026, 21:00\u00a0EET" in render(made("closing")).text
    assert "6 декември 2026 г., 21:00\u00a0ч.\u00a0EET" in render(made("closing", language="bg")).text
    row = made("closing")
    row.time_zone = "America/New_York"
    assert "6 December 2026, 14:00\u00a0EST" in render(row).text


def test_an_election_without_a_document_has_a_name_all_the_same():
    rendered = render(made("created", language="bg", title="", options=["", ""]))
    assert rendered.subject == "Ново гласуване: Гласуване 7"
    assert "- Вариант 2" in rendered.text


def test_ties_and_no_votes():
    assert "By the river, On the old" in render(made("tallied", channel="sms", totals=["5", "5", "0"])).text
    assert "no votes" in render(made("tallied", channel="sms", totals=["0", "0", "0"])).text
    assert "0.0%" in render(made("tallied", totals=["0", "0", "0"])).text


@given(st.text(max_size=400))
def test_no_title_breaks_out_of_subject_or_html(title):
    rendered = render(made("created", title=title))
    assert "\n" not in rendered.subject
    assert "\r" not in rendered.subject
    assert len(rendered.subject) <= MAX_SUBJECT
    shown = single_line(title)
    if "<" in shown[:190]:
        assert f'<h1 class="ink" {shown}' not in rendered.html
        assert "&lt;" in rendered.html


def test_html_in_a_title_is_text():
    rendered = render(made("created", title="<script>alert(1)</script>", options=["<img src=x onerror=y>", "b"]))
    assert "<script" not in rendered.html
    assert "<img" not in rendered.html
    assert "<script>alert(1)</script>" in rendered.text


def message_ids() -> set[str]:
    found = set()
    for path in sorted((FOLDER / "templates").rglob("*.*")):
        source = templatize(path.read_text())
        found |= {
            re.sub(r"\\(.)", r"\1", text[1:-1])
            for text in re.findall(r"""gettext\(u?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""", source)
        }
    for path in (FOLDER / "services").glob("*.py"):
        found |= set(re.findall(r'gettext\("([^"]+)"\)', path.read_text()))
    return found


def read_po(path: Path) -> dict[str, str]:
    pairs = re.findall(r'^msgid "(.*)"\nmsgstr "(.*)"$', path.read_text(), flags=re.MULTILINE)
    return {a.replace('\\"', '"'): b.replace('\\"', '"') for a, b in pairs if a}


def test_every_text_is_translated_and_the_compiled_catalogue_is_current():
    catalogue = read_po(FOLDER / "locale" / "bg" / "LC_MESSAGES" / "django.po")
    wanted = message_ids()
    assert len(wanted) > 30
    assert not wanted - set(catalogue), "not translated"
    assert not set(catalogue) - wanted, "no longer used"
    with translation.override("bg"):
        for original, translated in catalogue.items():
            assert translation.gettext(original) == translated, "compile it: msgfmt -o django.mo django.po"
            assert set(re.findall(r"%\(\w+\)s", original)) == set(re.findall(r"%\(\w+\)s", translated))


def test_one_typographic_character_does_not_double_the_price_of_an_sms():
    title = "The mayor’s “green” plan – and what it will cost the town in the next ten years or more"
    text = render(made("cancelled", channel="sms", title=title)).text
    assert set(text) <= GSM_7
    assert 'mayor\'s "green" plan - and' in text
    # Where the alphabet is another anyway, nothing is lost for it.
    assert "„" in render(made("cancelled", channel="sms", language="bg")).text
    assert "ма’й" in render(made("cancelled", channel="sms", title="ма’й")).text


def test_percents_and_directions_are_the_languages_own():
    assert "(50.9%)" in render(made("tallied")).text
    assert "(50,9\u00a0%)" in render(made("tallied", language="bg")).text
    assert 'dir="auto"' in render(made("tallied", title="שלום עולם")).html


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize("sampled", ["created", "closing", "tallied", "cancelled", "confirmation"])
def test_a_test_says_so_in_every_form(channel, sampled):
    row = made(sampled, channel=channel)
    assert "test" not in render(row).text
    row.payload["sample_of"], row.event = sampled, "test"
    message = render(row)
    assert message.text.startswith("This is a test.")
    assert channel == "sms" or "This is a test." in message.html
    # A confirmation is not about an election.
    assert ("election" in message.text.partition("\n")[0]) == (sampled != "confirmation")
