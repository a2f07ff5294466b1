from django.contrib import admin
from django.urls import include, path
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from everlearn import account_pages, logins
from everlearn.metrics import MetricsView

urlpatterns = [
    path("admin/login/", logins.login, name="login"),
    path("admin/login/code/", logins.login_code, name="login-code"),
    path(
        "admin/confirm-password/",
        admin.site.admin_view(logins.confirm_password),
        name="confirm-password",
    ),
    path(
        "admin/password_change/",
        admin.site.admin_view(logins.change_password),
        name="password_change",
    ),
    path(
        "admin/two-factor/",
        admin.site.admin_view(account_pages.two_factor_page),
        name="two-factor",
    ),
    path("admin/sessions/", admin.site.admin_view(account_pages.sessions_page), name="sessions"),
    path("admin/", admin.site.urls),
    path(
        "api/schema/",
        SpectacularJSONAPIView.as_view(renderer_classes=[OpenApiJsonRenderer2]),
        name="schema",
    ),
    path(
        "docs",
        SpectacularSwaggerSplitView.as_view(template_name="docs.html"),
        name="docs",
    ),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("", include("models_app.urls")),
    path("", include("feedback_app.urls")),
]

handler400 = "everlearn.errors.bad_request"
handler403 = "everlearn.errors.permission_denied"
handler404 = "everlearn.errors.not_found"
handler500 = "everlearn.errors.server_error"
