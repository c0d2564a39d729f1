"""What can go wrong with users, sign-ins and tokens."""

from django.db import InterfaceError, OperationalError
from rest_framework import status
from rest_framework.exceptions import APIException, AuthenticationFailed


class InvalidToken(AuthenticationFailed):
    default_code = "invalid_token"
    default_detail = "The token is not valid."


class TokenExpired(AuthenticationFailed):
    default_code = "token_expired"
    default_detail = "The token has expired; refresh it or sign in again."


class TokenRevoked(AuthenticationFailed):
    default_code = "token_revoked"
    default_detail = "The token, or the sign-in that it came from, was revoked."


class UserDeactivated(AuthenticationFailed):
    default_code = "user_deactivated"
    default_detail = "This account is deactivated."


class AdminRequired(APIException):
    status_code = status.HTTP_403_FORBIDDEN
    default_code = "admin_required"
    default_detail = "Only administrators may do this."


class SignInRefused(AuthenticationFailed):
    """What the provider sent does not prove who somebody is; the code says which rule it broke."""

    default_code = "sign_in_refused"
    default_detail = "The provider's answer was refused."

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail, code)
        self.code = code


class BadCallback(APIException):
    """A request to sign in, or the return from a provider, that does not fit a sign-in that we started."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "bad_callback"
    default_detail = "This is not the end of a sign-in that was started here."

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail, code)
        self.code = code


class ProviderUnavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "provider_unavailable"
    default_detail = "The eID provider does not answer; try again in a while."
    # Read by the handler of exceptions, as for a throttled request.
    wait = 10


class UnknownProvider(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "unknown_provider"
    default_detail = "There is no eID provider of this name."


class SignInEnded(AuthenticationFailed):
    default_code = "sign_in_ended"
    default_detail = "This sign-in has ended; sign in again."


class SignInStale(AuthenticationFailed):
    default_code = "sign_in_stale"
    default_detail = "The half hour of this sign-in is over and its provider does not answer; try again in a while."


class RefreshTokenReused(AuthenticationFailed):
    default_code = "refresh_token_reused"
    default_detail = "This refresh token was used before; all tokens of its sign-in are revoked."


class LogoutTokenRefused(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "logout_token_refused"
    default_detail = "The logout token was refused."

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail, code)
        self.code = code


class EmailNotCanonical(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "email_not_canonical"
    default_detail = "This e-mail address is written with characters that can pass for another address."


class EmailInvalid(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "email_invalid"
    default_detail = "This is not an e-mail address."


class EmailTaken(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "email_taken"
    default_detail = "Another user has this e-mail address."


class LastAdmin(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "last_admin"
    default_detail = "The last administrator cannot be removed, deactivated or demoted."


class AdminExists(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "admin_exists"
    default_detail = "There is an administrator already; they invite the others."


class OwnAccount(APIException):
    status_code = status.HTTP_403_FORBIDDEN
    default_code = "own_account"
    default_detail = "Nobody changes their own role, or deactivates or deletes themselves."


class UserNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "user_not_found"
    default_detail = "There is no such user."


class InvitationRefused(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "invitation_refused"
    default_detail = "This invitation is not valid, has expired or was used."


class TooManyAttempts(APIException):
    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_attempts"
    default_detail = "Too many attempts; try again in a minute."
    wait = 60


# What Django raises for a database that restarts, refuses connections, or has no room left.
DatabaseGone = (OperationalError, InterfaceError)


class DatabaseUnavailable(APIException):
    status_code = 503
    default_code = "database_unavailable"
    default_detail = "The database does not answer at the moment; nothing was changed. Try again soon."
    wait = 5
