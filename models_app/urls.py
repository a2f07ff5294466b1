from django.urls import include, path

from models_app import pages, views
from models_app.protocols import native, seed

one_model = [
    path("", views.ModelDetailView.as_view(), name="model"),
    path("predict/", native.PredictView.as_view(), name="predict"),
    path("versions/", views.VersionListView.as_view(), name="versions"),
    path("versions/<int:number>/", views.VersionDetailView.as_view(), name="version"),
    path("versions/<int:number>/predict/", native.PreviewView.as_view(), name="preview"),
    path("promote/", views.PromoteView.as_view(), name="promote"),
    path("rollback/", views.RollbackView.as_view(), name="rollback"),
    path("reload/", views.ReloadView.as_view(), name="reload"),
    path("deployments/", views.DeploymentListView.as_view(), name="deployments"),
]

urlpatterns = [
    path("", pages.home, name="home"),
    path("models/<str:name>/", pages.ask, name="model-page"),
    path("api/models/", views.ModelListView.as_view(), name="models"),
    path("api/models/<str:name>/", include(one_model)),
    path("predict", seed.DefaultPredictView.as_view(), name="default-predict"),
    path("reload-model", seed.DefaultReloadView.as_view(), name="default-reload"),
    path("health", seed.HealthView.as_view(), name="health"),
    path("ready", seed.ReadyView.as_view(), name="ready"),
]
