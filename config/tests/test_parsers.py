"""JSON bodies are read within bounds."""

import io

import pytest
from rest_framework.exceptions import ParseError

from config.parsers import BodyTooLarge, JSONParser, is_deep


def parse(text: str, **context: str):
    return JSONParser().parse(io.BytesIO(text.encode()), parser_context=context)


@pytest.mark.parametrize(
    "text",
    ["{", "", '{"a": NaN}', "[" * 65 + "]" * 65, "[" * 200_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "1" * 5000],
)
def test_what_is_not_sound_json_is_a_parse_error(text):
    with pytest.raises(ParseError):
        parse(text)


def test_brackets_in_strings_and_side_by_side_do_not_count():
    assert parse('{"a": "' + "[" * 500 + '"}') == {"a": "[" * 500}
    assert parse("[" + ",".join(["[]"] * 500) + "]") == [[]] * 500
    assert not is_deep("[" * 64 + "]" * 64)


def test_an_unknown_encoding_and_a_large_body_are_refused(settings):
    with pytest.raises(ParseError):
        parse("{}", encoding="no-such")
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    with pytest.raises(BodyTooLarge):
        parse('"' + "x" * 10 + '"')


@pytest.mark.parametrize("unit", ['\\"', '""', '"\\'])
def test_the_depth_of_many_quotes_is_told_in_one_pass(unit):
    # In minutes, where each quote is tried again up to the end: the test's time limit is the assertion.
    for end in ("", "\\"):
        quotes = '"' + unit * 200_000 + end
        assert not is_deep("[]" * 65 + quotes)
        assert is_deep("[" * 65 + quotes)


def test_brackets_in_strings_are_no_depth():
    assert not is_deep('"' + "[" * 100 + '\\"' + "[" * 100 + '"')
    assert is_deep('"\\\\"' + "[" * 65)
