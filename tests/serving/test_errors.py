import pytest
from lorair_serving.errors import TRITON_CODES, ErrorCode, code_and_text, message_with_code

OF_THE_CLIENT = {ErrorCode.UNREACHABLE, ErrorCode.NO_ANSWER}


@pytest.mark.parametrize("code", ErrorCode)
def test_code_survives_the_message(code):
    text = "queued for 61 s: the limit is 60 s;\nretry later"
    assert code_and_text(message_with_code(code, text)) == (code, text)
    assert code_and_text(f"in ensemble 'x', {message_with_code(code, text)}") == (code, text), "Triton may add words"


@pytest.mark.parametrize("message", ["", "unknown model: 'fog'", "LORAIR_NEWER_CODE: text", "QUEUE_FULL: a"])
def test_message_of_another_has_no_code(message):
    assert code_and_text(message) == (None, message)


def test_every_code_of_the_server_has_one_of_triton():
    assert set(TRITON_CODES) == set(ErrorCode) - OF_THE_CLIENT
