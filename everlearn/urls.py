from django.contrib import admin
from django.urls import include, path
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from everlearn import logins
from everlearn.metrics import MetricsView

urlpatterns = [
    path("admin/login/", logins.login, name="login"),
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
