"""Every rule and every write of `accounts`."""

from accounts.services.access_tokens import (
    authenticate_bearer,
    check_access_token,
    is_admin_by_token,
    issue_access_token,
    issue_access_token_for_session,
    revoke_access_token,
)
from accounts.services.actors import actor_of
from accounts.services.configuration import check_configuration
from accounts.services.emails import canonical_email
from accounts.services.endings import end_by_provider, end_sign_in
from accounts.services.keys import generate_signing_key, published_jwks
from accounts.services.metrics import read_admin_metrics
from accounts.services.provider_tokens import read_id_token, reseal_provider_tokens
from accounts.services.providers import get_metadata, get_provider, get_provider_of_issuer, list_providers
from accounts.services.refresh_tokens import issue_refresh_token, purge_expired, revoke_token, rotate_refresh_token
from accounts.services.sign_ins import complete_sign_in, record_password_sign_in, record_refusal
from accounts.services.silent_refresh import ensure_fresh
from accounts.services.users import (
    check_password_of_admin,
    create_admin,
    create_user,
    delete_user,
    invite,
    link_identity,
    update_user,
)

__all__ = [
    "actor_of",
    "authenticate_bearer",
    "canonical_email",
    "check_access_token",
    "check_configuration",
    "check_password_of_admin",
    "complete_sign_in",
    "create_admin",
    "create_user",
    "delete_user",
    "end_by_provider",
    "end_sign_in",
    "ensure_fresh",
    "generate_signing_key",
    "get_metadata",
    "get_provider",
    "get_provider_of_issuer",
    "invite",
    "is_admin_by_token",
    "issue_access_token",
    "issue_access_token_for_session",
    "issue_refresh_token",
    "link_identity",
    "list_providers",
    "published_jwks",
    "purge_expired",
    "read_admin_metrics",
    "read_id_token",
    "record_password_sign_in",
    "record_refusal",
    "reseal_provider_tokens",
    "revoke_access_token",
    "revoke_token",
    "rotate_refresh_token",
    "update_user",
]
