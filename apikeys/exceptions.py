"""What can go wrong with keys and limits."""

from rest_framework import exceptions, status


class RateLimited(exceptions.APIException):
    """The caller's bucket is empty; `wait` becomes `Retry-After`."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "rate_limited"
    default_detail = "Too many requests."

    def __init__(self, wait: int) -> None:
        super().__init__(f"Too many requests; try again in {wait} second{'' if wait == 1 else 's'}.")
        self.wait = wait


class LimiterUnavailable(exceptions.APIException):
    """Requests cannot be counted, and this class of routes is not served uncounted."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "limiter_unavailable"
    default_detail = "Requests cannot be counted at the moment; try again shortly."

    def __init__(self, wait: int = 1) -> None:
        super().__init__()
        self.wait = wait


class ApiKeyRefused(exceptions.AuthenticationFailed):
    auth_header = "Api-Key"


class ApiKeyMalformed(ApiKeyRefused):
    default_code = "api_key_malformed"
    default_detail = "The header must be `Authorization: Api-Key psk_…` with one whole key."


class ApiKeyUnknown(ApiKeyRefused):
    default_code = "api_key_unknown"
    default_detail = "There is no such key."


class ApiKeyRevoked(ApiKeyRefused):
    default_code = "api_key_revoked"
    default_detail = "The key was revoked."


class ApiKeyExpired(ApiKeyRefused):
    default_code = "api_key_expired"
    default_detail = "The key has expired."


class ApiKeyNotAccepted(exceptions.PermissionDenied):
    default_code = "api_key_not_accepted"
    default_detail = "This route accepts no API key."


class ApiKeyScopeMissing(exceptions.PermissionDenied):
    default_code = "api_key_scope_missing"
    default_detail = "The key lacks the scope of this route."


class ApiKeyNotFound(exceptions.NotFound):
    default_code = "api_key_not_found"
    default_detail = "There is no API key with this id."


class ApiKeyNotActive(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "api_key_not_active"
    default_detail = "The key is revoked, expired or already rotated."


class OwnerNotAllowed(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "owner_not_allowed"
    default_detail = "The owner is not an active user, or its role does not reach as far as the scopes."


class BasicRefused(exceptions.AuthenticationFailed):
    default_code = "basic_refused"
    default_detail = "The e-mail and the password or admin key do not fit an administrator."
