"""REST framework and the OpenAPI schema."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.BearerAuthentication",
        "apikeys.authentication.ApiKeyAuthentication",
        "accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.IsSignedIn"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.parsers.JSONParser"],
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "DEFAULT_VERSION": "1",
    "ALLOWED_VERSIONS": ["1"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.problems.problem_exception_handler",
    "URL_FORMAT_OVERRIDE": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Psephos API",
    "DESCRIPTION": "Elections on an EVM chain: sign-in, elections, proofs, jobs, notifications, audit.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "JobStatusEnum": "jobs.models.JobStatus",
        "ChannelEnum": "notifications.models.Channel",
        "ElectionStatusEnum": "elections.models.Status",
        "RoleEnum": "accounts.models.Role",
        "KeyStatusEnum": "apikeys.models.KeyStatus",
    },
    "TAGS": [
        {"name": "Elections", "description": "Elections, their census and their tallies"},
        {"name": "Authentication", "description": "Sign-in with an eID, tokens"},
        {"name": "Jobs", "description": "Heavy work in the background"},
        {"name": "Proofs", "description": "Zero-knowledge circuits"},
        {"name": "Notifications", "description": "Subscriptions and delivery"},
        {"name": "Audit", "description": "The tamper-evident log"},
        {"name": "Admin operations", "description": "For administrators only"},
        {"name": "Operations", "description": "Health and readiness"},
    ],
}
