"""Every setting, read from the environment; `.env.example` documents each of them."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from agentplatform import __version__
from agentplatform.database import embedded_url
from agentplatform.lib.environment import Environment, require_package, split_keys
from agentplatform.lib.logs import levels
from agentplatform.lib.redis_url import with_certificates
from agentplatform.lib.storage_url import storage_of

BASE_DIR = Path(__file__).resolve().parent.parent
environ.Env.read_env(BASE_DIR / ".env")
env = Environment()

# The instance
APP_NAME = env.str("APP_NAME", default="agentplatform")
VERSION = __version__
ENVIRONMENT = env.str("ENVIRONMENT", default="production")
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.secret("SECRET_KEY", "insecure-" + "for-development-only-" * 3)
SECRET_KEY_FALLBACKS = env.keys("SECRET_KEY_FALLBACKS")
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
DATA_DIR = Path(env.str("AGENTPLATFORM_DATA_DIR", default=str(BASE_DIR / "var"))).absolute()

# Applications
INSTALLED_APPS = [
    # First, because its commands go before Django's of the same name.
    "agentplatform",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "corsheaders",
    "csp",
    "procrastinate.contrib.django",
    "accounts",
    "agents",
    "billing",
    "runs",
]
# Short on purpose: each layer costs every request. What only pages need steps aside for the API.
MIDDLEWARE = [
    "agentplatform.middleware.RequestMiddleware",
    "agentplatform.middleware.AuditMiddleware",
    "agentplatform.middleware.SecurityHeadersMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "agentplatform.middleware.RateLimitMiddleware",
    "agentplatform.middleware.OpenAIErrorsMiddleware",
    "agentplatform.middleware.RefusalMiddleware",
    "agentplatform.middleware.PageContentSecurityPolicyMiddleware",
    "agentplatform.middleware.PageSessionMiddleware",
    "agentplatform.middleware.PageLocaleMiddleware",
    "agentplatform.middleware.PageCommonMiddleware",
    "agentplatform.middleware.PageCsrfMiddleware",
    "agentplatform.middleware.PageAuthenticationMiddleware",
    "agentplatform.middleware.PageMessageMiddleware",
    "agentplatform.middleware.PageClickjackingMiddleware",
]
# These look for Django's own middleware by name; its subclasses and counterparts above do the same.
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002", "security.W003"]
ROOT_URLCONF = "agentplatform.urls"
ASGI_APPLICATION = "agentplatform.asgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database: PostgreSQL, always. Without DATABASE_URL it is the embedded one in DATA_DIR.
DATABASE_URL = env.str("DATABASE_URL", default="") or embedded_url(DATA_DIR)
DATABASES = {"default": environ.Env.db_url_config(DATABASE_URL)}
DATABASES["default"].update(
    ENGINE="django.db.backends.postgresql",
    CONN_MAX_AGE=0,
    OPTIONS={
        **DATABASES["default"].get("OPTIONS", {}),
        "connect_timeout": 5,
        "pool": {
            "min_size": 1,
            "max_size": env.int("DATABASE_POOL_SIZE", default=16),
            # Shorter than anybody's patience: a request that gets no connection answers 503.
            "timeout": 1,
            # After so long a try to connect is given up, and who comes next tries again at once: a database that is
            # back is used again within a second, however long it was away.
            "reconnect_timeout": 1,
            "max_idle": 120,
        },
    },
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis, where several processes talk: live events between processes and the shared cache.
REDIS_URL = with_certificates(
    env.str("REDIS_URL", default=""),
    ca=env.str("REDIS_CA_FILE", default=""),
    certificate=env.str("REDIS_CERT_FILE", default=""),
    key=env.str("REDIS_KEY_FILE", default=""),
)
CACHE_TTL = env.int("CACHE_TTL", default=60)
CACHE_MAX_SIZE = env.int("CACHE_MAX_SIZE", default=10_000)
_OWN_CACHE = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "TIMEOUT": CACHE_TTL,
    "OPTIONS": {"MAX_ENTRIES": CACHE_MAX_SIZE},
}
CACHES = {
    "default": {
        "BACKEND": "agentplatform.lib.redis_cache.RedisCache",
        "LOCATION": REDIS_URL,
        "TIMEOUT": CACHE_TTL,
        # A cache that is slower than this is none.
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }
    if REDIS_URL
    else _OWN_CACHE,
    # What counts even while Redis is away (`accounts.throttling`).
    "own": _OWN_CACHE,
}

# Secrets, each of which can be rotated
JWT_SECRET_KEYS = env.keys("JWT_SECRET_KEY") or [SECRET_KEY, *SECRET_KEY_FALLBACKS]
FIELD_ENCRYPTION_KEYS = split_keys(
    env.secret("FIELD_ENCRYPTION_KEYS", "aW5zZWN1cmUtZm9yLWRldmVsb3BtZW50LW9ubHktMTI=")
)

# Accounts
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "chat-page"
SIMPLE_JWT: dict[str, Any] = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env.int("ACCESS_TOKEN_EXPIRE_MINUTES", default=30)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=env.int("REFRESH_TOKEN_EXPIRE_DAYS", default=30)),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "CHECK_REVOKE_TOKEN": True,
    "SIGNING_KEY": JWT_SECRET_KEYS[0],
    "AUTH_HEADER_TYPES": ("Bearer",),
}

# Signing in with an account elsewhere. Addresses are matched with those of users; of these domains accounts are made.
OAUTH_PROVIDERS = {
    "google": {
        "title": "Google",
        "client_id": env.str("GOOGLE_CLIENT_ID", default=""),
        "client_secret": env.str("GOOGLE_CLIENT_SECRET", default=""),
        "authorize_url": "https://accounts.google.com/o/oauth2/v2/auth",
        "token_url": "https://oauth2.googleapis.com/token",
        "keys_url": "https://www.googleapis.com/oauth2/v3/certs",
        "issuer": "https://accounts.google.com",
        "scope": "openid email",
    },
    "github": {
        "title": "GitHub",
        "client_id": env.str("GITHUB_CLIENT_ID", default=""),
        "client_secret": env.str("GITHUB_CLIENT_SECRET", default=""),
        "authorize_url": "https://github.com/login/oauth/authorize",
        "token_url": "https://github.com/login/oauth/access_token",
        "user_url": "https://api.github.com/user",
        "emails_url": "https://api.github.com/user/emails",
        "scope": "user:email",
    },
}
OAUTH_ALLOWED_DOMAINS = [domain.casefold() for domain in env.list("OAUTH_ALLOWED_DOMAINS", default=[])]
OAUTH_DEFAULT_WORKSPACE = env.str("OAUTH_DEFAULT_WORKSPACE", default="")
OAUTH_DEFAULT_ROLE = env.str("OAUTH_DEFAULT_ROLE", default="user")
if OAUTH_DEFAULT_ROLE not in (_roles := ("operator", "user", "viewer", "auditor")):
    raise ImproperlyConfigured(
        f"OAUTH_DEFAULT_ROLE must be one of {', '.join(_roles)}, not {OAUTH_DEFAULT_ROLE!r}."
    )
if OAUTH_ALLOWED_DOMAINS and not OAUTH_DEFAULT_WORKSPACE:
    raise ImproperlyConfigured(
        "OAUTH_ALLOWED_DOMAINS needs OAUTH_DEFAULT_WORKSPACE: the slug of a workspace."
    )

# Security events: where they are sent, signed, and how long they are kept
SECURITY_WEBHOOK_URL = env.str("SECURITY_WEBHOOK_URL", default="")
SECURITY_WEBHOOK_SECRETS = env.keys("SECURITY_WEBHOOK_SECRET")
SECURITY_EVENTS_KEPT_DAYS = env.int("SECURITY_EVENTS_KEPT_DAYS", default=90)
if SECURITY_WEBHOOK_URL and not SECURITY_WEBHOOK_SECRETS:
    raise ImproperlyConfigured(
        "SECURITY_WEBHOOK_URL needs SECURITY_WEBHOOK_SECRET: whsec_ and Base64, to sign with."
    )
for _key in SECURITY_WEBHOOK_SECRETS:
    if not re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", _key):
        raise ImproperlyConfigured(
            "SECURITY_WEBHOOK_SECRET must be whsec_ and at least 24 random bytes in Base64."
        )

# Requests open at once in one process, streams and sockets among them; 0: no limit
OPEN_REQUESTS = {
    "user": env.int("USER_OPEN_REQUESTS", default=0),
    "key": env.int("API_KEY_OPEN_REQUESTS", default=0),
    "workspace": env.int("WORKSPACE_OPEN_REQUESTS", default=0),
}

# The API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.ActorAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.HasPermission"],
    "DEFAULT_RENDERER_CLASSES": ["agentplatform.lib.json.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["agentplatform.lib.json.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": [
        "agentplatform.lib.filtering.FilterBackend",
        "rest_framework.filters.SearchFilter",
        "agentplatform.lib.filtering.OrderingBackend",
    ],
    "DEFAULT_PAGINATION_CLASS": "agentplatform.lib.pagination.Pagination",
    "DEFAULT_SCHEMA_CLASS": "agentplatform.lib.schema.AutoSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "DEFAULT_THROTTLE_RATES": {
        "login": env.rate("LOGIN_RATE", "10/minute"),
        "chat": env.rate("CHAT_RATE", "10/minute"),
        "user": env.rate("USER_RATE"),
        "key": env.rate("API_KEY_RATE"),
        "workspace": env.rate("WORKSPACE_RATE"),
    },
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    # `?format=` belongs to the operations (csv, mermaid …), not to content negotiation.
    "URL_FORMAT_OVERRIDE": None,
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "agentplatform.lib.error_format.PlatformExceptionHandler",
    "EXCEPTION_FORMATTER_CLASS": "agentplatform.lib.error_format.PlatformExceptionFormatter",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "agentplatform",
    "VERSION": VERSION,
    "DESCRIPTION": "Define agents, run them durably, follow every run live, and account for every cent.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # Fields of one name with different choices.
    "ENUM_NAME_OVERRIDES": {
        "ApprovalDefaultEnum": "agents.models.Tool.ApprovalDefault",
        "DocumentStatusEnum": "agents.models.Document.Status",
        "RoleEnum": "accounts.roles.Role",
        "StatusEnum": "runs.models.Status",
        "StateMessageRoleEnum": "runs.api.modification_serializers.STATE_ROLES",
        "ToolAnswerStatusEnum": "runs.api.modification_serializers.ANSWER_STATUSES",
    },
}
MAX_REQUEST_BYTES = env.int("MAX_REQUEST_BYTES", default=2_500_000)
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_REQUEST_BYTES
ATTACHMENT_MAX_SIZE = env.int("ATTACHMENT_MAX_SIZE", default=10_000_000)
ATTACHMENT_SESSION_SIZE = env.int("ATTACHMENT_SESSION_SIZE", default=100_000_000)
# Routes whose bodies may be larger, because they bring a file, and the setting that limits it.
LARGER_BODIES = {
    r"POST /api/v1/sessions/[^/]+/attachments": "ATTACHMENT_MAX_SIZE",
    r"POST /api/v1/knowledge-bases/[^/]+/documents": "DOCUMENT_MAX_SIZE",
}
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
WEB_DRAIN_SECONDS = env.int("WEB_DRAIN_SECONDS", default=0)

# Budgets
BUDGET_OUTPUT_TOKENS = env.int("BUDGET_OUTPUT_TOKENS", default=4096)

# Mail. Without a host none is sent.
EMAIL_HOST = env.str("EMAIL_HOST", default="")
EMAIL_PORT = env.int("EMAIL_PORT", default=25)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=False)
EMAIL_USE_SSL = env.bool("EMAIL_USE_SSL", default=False)
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="agentplatform@localhost")

# Browsers
CORS_ALLOWED_ORIGINS = env.list("CORS_ORIGINS", default=[])
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "x-api-key",
    "x-workspace",
    # What OpenAI's client for JavaScript says of itself.
    *(f"x-stainless-{name}" for name in ("arch", "lang", "os", "package-version", "retry-count")),
    *(f"x-stainless-{name}" for name in ("runtime", "runtime-version", "timeout", "helper-method")),
    *("openai-organization", "openai-project"),
    # What MCP's clients say of a message.
    *("mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"),
]
CORS_EXPOSE_HEADERS = [
    "X-Request-ID",
    "X-Process-Time",
    "X-Run-ID",
    "X-Should-Retry",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "ETag",
    "Mcp-Session-Id",
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE, "'unsafe-eval'"],
        "style-src": [SELF, "'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF, "data:"],
        "connect-src": [SELF],
        "worker-src": [SELF, "blob:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
HTTPS = env.bool("HTTPS", default=False)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^api/v1/health", r"^metrics$"]
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000 if HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
CSRF_FAILURE_VIEW = "agentplatform.lib.error_views.forgery_refused"
X_FRAME_OPTIONS = "DENY"

# Pages
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "agentplatform.lib.formats"
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": storage_of(env.str("STORAGE_URL", default=""), DATA_DIR),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
UNFOLD = {
    "SITE_TITLE": APP_NAME,
    "SITE_HEADER": APP_NAME,
    "SITE_SYMBOL": "hub",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"{STATIC_URL}runs/icon.svg"}],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "ENVIRONMENT": [ENVIRONMENT, "info"],
    "DASHBOARD_CALLBACK": "agentplatform.dashboard.dashboard",
    "SCRIPTS": [f"{STATIC_URL}live/names.js"],
    "STYLES": [f"{STATIC_URL}live/admin.css"],
    "SIDEBAR": {"show_search": True, "navigation": "agentplatform.navigation.sidebar"},
    "ACCOUNT": {"navigation": "agentplatform.navigation.account_links"},
}

# Agents: limits of a run unless the agent says otherwise, and the model endpoints of the demo
AGENT_TIMEOUT_SECONDS = env.int("AGENT_TIMEOUT_SECONDS", default=30)
AGENT_MAX_RETRIES = env.int("AGENT_MAX_RETRIES", default=3)
AGENT_ENABLE_CACHE = env.bool("AGENT_ENABLE_CACHE", default=True)
AGENT_CACHE_TTL = env.int("AGENT_CACHE_TTL", default=3600)
AGENT_RUNNER_POOL_SIZE = env.int("AGENT_RUNNER_POOL_SIZE", default=128)
OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="")
OPENAI_MODEL = env.str("OPENAI_MODEL", default="gpt-4o-mini")
ANTHROPIC_API_KEY = env.str("ANTHROPIC_API_KEY", default="")
GOOGLE_API_KEY = env.str("GOOGLE_API_KEY", default="")
OUTBOUND_ALLOWED_HOSTS = env.list("OUTBOUND_ALLOWED_HOSTS", default=[])
MCP_ALLOWED_COMMANDS = env.list("MCP_ALLOWED_COMMANDS", default=[])
MCP_IDLE_SECONDS = env.int("MCP_IDLE_SECONDS", default=300)

# Configuration that is loaded at start
CONFIG_DIR = env.str("CONFIG_DIR", default="")
CONFIG_WORKSPACE = env.str("CONFIG_WORKSPACE", default="")

# Knowledge bases: what a document may be, and what reading one may take
DOCUMENT_MAX_SIZE = env.int("DOCUMENT_MAX_SIZE", default=20_000_000)
DOCUMENTS_PER_BASE = env.int("DOCUMENTS_PER_BASE", default=10_000)
DOCUMENT_PARSE_SECONDS = env.int("DOCUMENT_PARSE_SECONDS", default=120)
DOCUMENT_PARSE_MEMORY = env.int("DOCUMENT_PARSE_MEMORY", default=1_000_000_000)

# Exports of usage in the background: how many of a workspace at once, how large and how long they are kept, and where
# their parts lie until they are complete (empty: the system's folder for such)
EXPORTS_PER_WORKSPACE = env.int("EXPORTS_PER_WORKSPACE", default=3)
EXPORT_MAX_BYTES = env.int("EXPORT_MAX_BYTES", default=10_000_000_000)
EXPORT_KEEP_DAYS = env.int("EXPORT_KEEP_DAYS", default=7)
EXPORT_TEMP_DIR = env.str("EXPORT_TEMP_DIR", default="")

# How long what is kept of runs can be looked at, in days; 0: for ever.
RUN_EVENTS_KEPT_DAYS = env.int("RUN_EVENTS_KEPT_DAYS", default=0)
METRICS_QUARTERS_KEPT_DAYS = env.int("METRICS_QUARTERS_KEPT_DAYS", default=400)
METRICS_KEPT_DAYS = env.int("METRICS_KEPT_DAYS", default=0)

# The worker
WORKER_CONCURRENCY = env.int("WORKER_CONCURRENCY", default=200)
WORKSPACE_CONCURRENCY = env.int("WORKSPACE_CONCURRENCY", default=0)
WORKER_HEARTBEAT_SECONDS = 1.0
WORKER_LOST_AFTER_SECONDS = 3.0
WORKER_ALIVE_FILE = env.str("WORKER_ALIVE_FILE", default="")
WORKER_DRAIN_SECONDS = env.int("WORKER_DRAIN_SECONDS", default=20)
EMBEDDED_WORKER = env.bool("AGENTPLATFORM_EMBEDDED_WORKER", default=False)

# Logs
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in (known := ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")):
    raise ImproperlyConfigured(f"LOG_LEVEL must be one of {', '.join(known)}, not {LOG_LEVEL!r}.")
LOG_FILE = env.str("LOG_FILE", default="")
LOG_HANDLER = (
    {"class": "logging.FileHandler", "filename": LOG_FILE} if LOG_FILE else {"class": "logging.StreamHandler"}
)
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "agentplatform.lib.logs.json_formatter"}},
    "handlers": {"main": {**LOG_HANDLER, "formatter": "json"}},
    "root": {"handlers": ["main"], "level": levels(LOG_LEVEL)[""]},
    "loggers": {name: {"level": level} for name, level in levels(LOG_LEVEL).items() if name},
}
os.environ.setdefault("LANGSMITH_TRACING", "false")

# Metrics: who may read them, and where a worker serves its own (0: nowhere).
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
if 0 < len(METRICS_TOKEN) < (shortest := 16):
    raise ImproperlyConfigured(f"METRICS_TOKEN must have at least {shortest} characters.")
METRICS_ALLOWED_ADDRESSES = env.networks("METRICS_ALLOWED_ADDRESSES")
METRICS_HOST = env.str("METRICS_HOST", default="127.0.0.1")
METRICS_PORT = env.int("METRICS_PORT", default=0)
if METRICS_PORT and not (METRICS_TOKEN or METRICS_ALLOWED_ADDRESSES):
    raise ImproperlyConfigured(
        "METRICS_PORT is set, and nobody may read there: set METRICS_TOKEN or METRICS_ALLOWED_ADDRESSES."
    )

# The folder in which processes of a machine share what they measure; prometheus-client reads the variable itself.
PROMETHEUS_MULTIPROC_DIR = env.str("PROMETHEUS_MULTIPROC_DIR", default="")
if PROMETHEUS_MULTIPROC_DIR and not Path(PROMETHEUS_MULTIPROC_DIR).is_dir():
    raise ImproperlyConfigured(f"PROMETHEUS_MULTIPROC_DIR is no folder: make {PROMETHEUS_MULTIPROC_DIR!r}.")

# Traces and reports of errors: nothing is sent, and no library imported, without these.
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")
SENTRY_DSN = env.str("SENTRY_DSN", default="")
if OTEL_EXPORTER_OTLP_ENDPOINT:
    require_package("OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry.sdk")
    MIDDLEWARE.insert(1, "agentplatform.observability.middleware.TracingMiddleware")
if SENTRY_DSN:
    require_package("SENTRY_DSN", "sentry_sdk")
    LOGGING["handlers"]["reports"] = {
        "class": "agentplatform.observability.error_reports.Reporter",
        "level": "ERROR",
    }
    LOGGING["root"]["handlers"].append("reports")
