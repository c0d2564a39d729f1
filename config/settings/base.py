"""Settings that every environment shares; each app's own are in `parts/`."""

from pathlib import Path

from config.settings.env import env, is_url
from config.settings.parts.accounts import *  # noqa: F403
from config.settings.parts.accounts import ACCOUNTS_BEAT
from config.settings.parts.apikeys import *  # noqa: F403
from config.settings.parts.apikeys import APIKEYS_BEAT
from config.settings.parts.audit import *  # noqa: F403
from config.settings.parts.audit import AUDIT_BEAT
from config.settings.parts.chain import *  # noqa: F403
from config.settings.parts.chain import CHAIN_BEAT
from config.settings.parts.elections import *  # noqa: F403
from config.settings.parts.elections import ELECTIONS_BEAT
from config.settings.parts.graphql import *  # noqa: F403
from config.settings.parts.jobs import *  # noqa: F403
from config.settings.parts.jobs import JOBS_BEAT
from config.settings.parts.logs import *  # noqa: F403
from config.settings.parts.notifications import *  # noqa: F403
from config.settings.parts.notifications import NOTIFICATIONS_BEAT
from config.settings.parts.observability import *  # noqa: F403
from config.settings.parts.rest import *  # noqa: F403
from config.settings.parts.services import *  # noqa: F403
from config.settings.parts.unfold import *  # noqa: F403
from config.settings.parts.zk import *  # noqa: F403
from config.settings.parts.zk import ZK_BEAT

BASE_DIR = Path(__file__).resolve().parent.parent.parent

DEBUG = False
SECRET_KEY: str = env.str("SECRET_KEY", "")
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
# Where people reach us from outside: links in mails, OIDC redirect addresses.
PUBLIC_URL: str = env.str("PUBLIC_URL", "http://localhost:8000", validate=is_url("http", "https"))

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_results",
    "django_typer",
    "graphene_django",
    "anymail",
    "csp",
    "config",
    "audit",
    "accounts",
    "jobs",
    "apikeys",
    "notifications",
    "zk",
    "elections",
    "chain",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "config.middleware.RequestIdMiddleware",
    "config.metrics.PoolSampler",
    "apikeys.middleware.RateLimitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.hot_reads.HotReadsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.SignInMiddleware",
    "accounts.middleware.AdminApiMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.csp.ContentSecurityPolicyMiddleware",
    "config.metrics.RequestCounter",
]

ROOT_URLCONF = "config.urls"
CSRF_FAILURE_VIEW = "config.problems.csrf_failure"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "config.formats"
LANGUAGES = [("en", "English"), ("bg", "Български")]
LOCALE_PATHS = [BASE_DIR / "notifications" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT: Path = env.path("STATIC_ROOT", BASE_DIR / "staticfiles")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# No outside asset, no inline script without a nonce, no framing.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
}

# Operators get one line, developers Python's own traceback; rich's costs each process a fifth of a second to load.
DT_RICH_TRACEBACK_CONFIG = False

DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

CELERY_BEAT_SCHEDULE = (
    AUDIT_BEAT | ACCOUNTS_BEAT | JOBS_BEAT | APIKEYS_BEAT | NOTIFICATIONS_BEAT | ZK_BEAT | ELECTIONS_BEAT | CHAIN_BEAT
)
