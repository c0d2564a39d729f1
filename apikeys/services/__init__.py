"""API keys, who calls, and how much they may."""

from apikeys.services.addresses import Client, find_client
from apikeys.services.admission import Admission, admit, admit_socket, parse_rules
from apikeys.services.background import keep_running
from apikeys.services.bucket import Decision, Limit, default_limit, take
from apikeys.services.key_cache import forget_keys
from apikeys.services.keys import (
    authenticate_key,
    check_scope,
    create_api_key,
    owner_of,
    peppers,
    revoke_api_key,
    rotate_api_key,
    update_api_key,
)
from apikeys.services.usage import count_request, delete_old_usage, flush_usage

__all__ = [
    "Admission",
    "Client",
    "Decision",
    "Limit",
    "admit",
    "admit_socket",
    "authenticate_key",
    "check_scope",
    "count_request",
    "create_api_key",
    "default_limit",
    "delete_old_usage",
    "find_client",
    "flush_usage",
    "forget_keys",
    "keep_running",
    "owner_of",
    "parse_rules",
    "peppers",
    "revoke_api_key",
    "rotate_api_key",
    "take",
    "update_api_key",
]
