"""Django's settings. What differs between installations comes from `configuration`."""

from __future__ import annotations

from urllib.parse import urlsplit

import django_stubs_ext
from csp.constants import NONE, SELF
from django.http.request import split_domain_port

from everlearn import configuration as _configuration
from everlearn import logs, safety, theme
from everlearn.caching import cache as _cache
from everlearn.databases import database as _database
from everlearn.databases import mlflow_uri as _mlflow_uri
from everlearn.file_storage import storage as _storage
from models_app.quota import MIB, Quota

# Lets classes such as ModelAdmin take type arguments at run time.
django_stubs_ext.monkeypatch()

BASE_DIR = _configuration.BASE_DIR
_given = _configuration.read()
safety.refuse_unsafe_settings(_given)

EVERLEARN_HOME = _given.home
EVERLEARN_HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
EVERLEARN_ENVIRONMENT = _given.environment
EVERLEARN_MODELS = _given.models
EVERLEARN_CONCURRENT_RUNS = _given.concurrent_runs
EVERLEARN_RUN_TIMEOUT = _given.run_timeout  # seconds
EVERLEARN_RUN_MEMORY = _given.run_memory  # MiB
EVERLEARN_HOST = _given.host
EVERLEARN_METRICS_ALLOW = _given.metrics_allow
EVERLEARN_PREDICT_TIMEOUT = _given.predict_timeout  # seconds
EVERLEARN_PORT = _given.port
EVERLEARN_TRUSTED_PROXIES = _given.trusted_proxies
EVERLEARN_ANONYMOUS_PER_MINUTE = _given.anonymous_per_minute
EVERLEARN_CONNECTIONS_PER_NETWORK = _given.connections_per_network
EVERLEARN_SESSION_IDLE = _given.session_idle
EVERLEARN_SESSION_LIFETIME = _given.session_lifetime
EVERLEARN_CONFIRM_PASSWORD_AFTER = _given.confirm_password_after
EVERLEARN_REQUIRE_TOTP = _given.require_totp
EVERLEARN_ANONYMOUS_QUOTA = Quota(
    requests=_given.anonymous_requests,
    rows=_given.anonymous_rows,
    feedback=_given.anonymous_feedback,
    stored_bytes=_given.anonymous_stored * MIB,
)
EVERLEARN_ANONYMOUS_TOTAL = _given.anonymous_total
EVERLEARN_KEY_QUOTA = Quota(
    requests=_given.key_requests,
    rows=_given.key_rows,
    feedback=_given.key_feedback,
    stored_bytes=_given.key_stored * MIB,
)
EVERLEARN_ANONYMOUS_DIGITS = _given.anonymous_digits
EVERLEARN_MIN_FREE_DISK = _given.min_free_disk  # MiB
# How long each kind of row or file is kept; None: for ever.
EVERLEARN_RETAIN = {
    "predictions": _given.retain_predictions,
    "feedback": _given.retain_feedback,
    "replies": _given.retain_replies,
    "batches": _given.retain_batches,
    "usage": _given.retain_usage,
    "logs": _given.retain_logs,
}
# Links are made with this, never with the Host that a request came with.
EVERLEARN_PUBLIC_URL = _given.public_url or f"http://localhost:{EVERLEARN_PORT}"
EVERLEARN_CODE_REVISION = _given.code_revision
MLFLOW_TRACKING_URI = _mlflow_uri(_given)
EVERLEARN_STORAGE = _given.storage
EVERLEARN_BUNDLE_KEY = _given.bundle_key  # "" means that it is in a file: see models_app.signing
EVERLEARN_BUNDLE_KEY_FALLBACKS = _given.bundle_key_fallbacks
EVERLEARN_ARTIFACT_ROOTS = _given.artifact_roots
DATA_URL = _given.data_url
HOT_RELOAD_URL = _given.hot_reload_url
EVERLEARN_API_KEY = _given.api_key
EVERLEARN_TRAINING_BACKEND = _given.training_backend
EVERLEARN_GITHUB_REPOSITORY = _given.github_repository
EVERLEARN_GITHUB_API_URL = _given.github_api_url
EVERLEARN_GITHUB_EVENT = _given.github_event
REPO_TOKEN = _given.repo_token
EVERLEARN_DATA_ALLOW = _given.data_allow
EVERLEARN_DATA_LIMIT = _given.data_limit  # MiB
EVERLEARN_DATA_TIMEOUT = _given.data_timeout  # seconds
EVERLEARN_DATA_LOOK = _given.data_look  # seconds

DEBUG = _given.debug
SECRET_KEY = _configuration.secret_key(_given)
_configuration.make_bundle_key(_given)
ALLOWED_HOSTS = list(_given.allowed_hosts)
if _given.public_url:
    ALLOWED_HOSTS.append(split_domain_port(urlsplit(_given.public_url).netloc)[0])
ROOT_URLCONF = "everlearn.urls"
WSGI_APPLICATION = "everlearn.wsgi.application"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "django_q",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "models_app",
    "feedback_app",
    "everlearn",
]

MIDDLEWARE = [
    "everlearn.request_id.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "everlearn.middleware.PagePolicyMiddleware",
    "everlearn.bodies.BodyMiddleware",
    "everlearn.middleware.FitTextMiddleware",
    "everlearn.middleware.NoKeyInAddressMiddleware",
    "everlearn.middleware.PatienceMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "everlearn.middleware.SlashMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "everlearn.account_middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

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
            ]
        },
    }
]

DATABASES = {"default": _database(_given)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": _cache(_given.cache_url)}

STORAGES = {
    "default": _storage(_given),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_URL = "/static/"
# The files are served from where the apps keep them: no collectstatic between clone and use.
WHITENOISE_USE_FINDERS = True

_VALIDATORS: dict[str, dict[str, int]] = {
    "UserAttributeSimilarityValidator": {},
    "MinimumLengthValidator": {"min_length": 12},
    "CommonPasswordValidator": {},
    "NumericPasswordValidator": {},
}
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in _VALIDATORS.items()
]
OTP_TOTP_ISSUER = "EverLearn"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
# Browsers share cookies between the ports of a host, and so between instances side by side.
SESSION_COOKIE_NAME = f"sessionid_{EVERLEARN_PORT}"
CSRF_COOKIE_NAME = f"csrftoken_{EVERLEARN_PORT}"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = EVERLEARN_PUBLIC_URL.startswith("https:")
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# No script of ours reads it: forms carry the token in a field.
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = int(EVERLEARN_SESSION_IDLE.total_seconds())
# A proxy that ends TLS asks over plain HTTP, so that Django cannot know its own origin.
CSRF_TRUSTED_ORIGINS = [EVERLEARN_PUBLIC_URL]
if _given.tls_header:
    _header = "HTTP_" + _given.tls_header.upper().replace("-", "_")
    SECURE_PROXY_SSL_HEADER = (_header, "https")
    SECURE_SSL_REDIRECT = True
    SECURE_SSL_HOST = urlsplit(_given.public_url).netloc or None
    # Asked from this host and by whoever balances the load, past the proxy.
    SECURE_REDIRECT_EXEMPT = [r"^(health|ready|metrics)$"]
    SECURE_HSTS_SECONDS = 30 * 24 * 3600

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

# The longest body that any route takes (feedback in lists); see `everlearn.bodies`.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 2**20
# The page of a model has a field a feature; as many as a JSON object may have members.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "everlearn.authentication.KeyAuthentication",
        "everlearn.authentication.StaffSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["everlearn.permissions.DoorPermission"],
    "DEFAULT_THROTTLE_CLASSES": ["everlearn.throttles.ClientThrottle"],
    "DEFAULT_PARSER_CLASSES": ["everlearn.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "everlearn.negotiation.OwnForm",
    "DEFAULT_SCHEMA_CLASS": "everlearn.openapi.ErrorAwareSchema",
    "EXCEPTION_HANDLER": "everlearn.errors.answer_exception",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

# Under DEBUG too, the API answers JSON.
DRF_STANDARDIZED_ERRORS = {"ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": True}

SPECTACULAR_SETTINGS = {
    "TITLE": "EverLearn",
    "DESCRIPTION": "Predictions, feedback, retraining and promotion of the served models.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "FeedbackStatus": "feedback_app.models.Feedback.Status",
        "JobStatus": "feedback_app.models.BatchJob.Status",
        "RunStatus": "feedback_app.models.RetrainingRun.Status",
        "VersionStatus": "models_app.models.ModelVersion.Status",
    },
}

# A task waits for its run's child process, which EVERLEARN_RUN_TIMEOUT ends; the queue's own
# limits lie beyond it, or it would deliver again what is still under way.
Q_CLUSTER = {
    "name": "everlearn",
    "orm": "default",
    "broker_class": "feedback_app.broker.VettingBroker",
    "workers": EVERLEARN_CONCURRENT_RUNS + 2,  # one is for batches, one left for the pulse
    "timeout": EVERLEARN_RUN_TIMEOUT + 300,
    "retry": EVERLEARN_RUN_TIMEOUT + 600,
    "max_attempts": 3,
    "ack_failures": True,
    "catch_up": False,
    "scheduler": False,  # triggers are the models' own; nothing may be scheduled in the admin
    "save_limit": 250,
    "log_level": "WARNING",  # or each pulse takes four lines
}

UNFOLD = theme.ADMIN

LOGGING = logs.logging_settings(_given, SECRET_KEY)
