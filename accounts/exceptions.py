"""What can go wrong with users, sign-ins and tokens."""

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
