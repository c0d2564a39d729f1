"""SendGrid through anymail, with the provider's own message id and our id in its events."""

import warnings
from typing import Any

from anymail.backends import sendgrid
from anymail.exceptions import AnymailNotSupportedWarning
from anymail.message import AnymailRecipientStatus


class SendGridBackend(sendgrid.EmailBackend):
    """anymail's backend, which still ships though its maintainers no longer test it against SendGrid (ADR 0024).

    Our notification id travels as a custom argument, so anymail's own random id is left out; the provider's id is
    read from the answer's `X-Message-Id`.
    """

    def __init__(self, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnymailNotSupportedWarning)
            super().__init__(generate_message_id=False, **kwargs)

    def parse_recipient_status(self, response: Any, payload: Any, message: Any) -> dict[str, AnymailRecipientStatus]:
        message_id = response.headers.get("X-Message-Id")
        return {
            recipient.addr_spec: AnymailRecipientStatus(message_id=message_id, status="queued")
            for recipient in payload.all_recipients
        }
