"""What can go wrong with notifications."""

from rest_framework import status
from rest_framework.exceptions import APIException


class NotificationNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "notification_not_found"
    default_detail = "There is no notification with this id."


class SubscriptionNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "subscription_not_found"
    default_detail = "There is no subscription with this id."


class SubscriptionExists(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "subscription_exists"
    default_detail = "You have a subscription for this already; change that one."


class AddressMissing(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "address_missing"
    default_detail = "Confirm an address for this channel first."


class ContactNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "contact_not_found"
    default_detail = "You have no address for this channel."


class CodeWrong(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "code_wrong"
    default_detail = "The code is wrong or has expired."


class TooManyCodes(APIException):
    """Codes cost money and annoy; `wait` becomes the Retry-After header."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_codes"
    default_detail = "Too many codes were sent; try again later."

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__()
        self.wait = retry_after_seconds


class UnsubscribeLinkInvalid(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "unsubscribe_link_invalid"
    default_detail = "This unsubscribe link is not one of ours."


class WebhookRefused(APIException):
    status_code = status.HTTP_403_FORBIDDEN
    default_code = "webhook_refused"
    default_detail = "The webhook's signature does not verify."


class WebhookMalformed(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "webhook_malformed"
    default_detail = "The webhook's body is not what the provider sends."


class NotificationNotFailed(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "notification_not_failed"
    default_detail = "Only a failed notification can be sent again."


class ProviderError(Exception):
    """A provider did not take a message: a stable code, and what it said."""

    def __init__(self, code: str, detail: str = "", *, retry_after_seconds: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail[:500]
        self.retry_after_seconds = retry_after_seconds


class Refused(ProviderError):
    """The provider will never take this message."""


class Unavailable(ProviderError):
    """The provider did not take the message, and may later."""


class OutcomeUnknown(ProviderError):
    """The provider may have taken the message: the connection broke after it was sent."""


class TemplateIncomplete(Exception):
    """A template names a variable that its context does not have."""
