from django.urls import path

from feedback_app import batch_views, feedback_views, link_pages, pages, views

urlpatterns = [
    path(
        "api/models/<str:name>/predict-batch/",
        batch_views.PredictBatchView.as_view(),
        name="predict-batch",
    ),
    path("api/jobs/<uuid:pk>/", batch_views.JobView.as_view(), name="job"),
    path("api/jobs/<uuid:pk>/result/", batch_views.JobResultView.as_view(), name="job-result"),
    path("api/jobs/<uuid:pk>/cancel/", batch_views.CancelJobView.as_view(), name="cancel-job"),
    path("api/feedback/", feedback_views.FeedbackView.as_view(), name="feedback"),
    path(
        "api/feedback/<uuid:pk>/review/",
        feedback_views.ReviewView.as_view(),
        name="review-feedback",
    ),
    path("api/predictions/<uuid:pk>/", views.PredictionView.as_view(), name="prediction"),
    path(
        "api/predictions/<uuid:pk>/feedback-link/",
        feedback_views.FeedbackLinkView.as_view(),
        name="feedback-link",
    ),
    path("f/<str:link>", link_pages.linked_feedback, name="linked-feedback"),
    path("api/models/<str:name>/retrain/", views.RetrainView.as_view(), name="retrain"),
    path(
        "api/models/<str:name>/training-data/",
        batch_views.TrainingDataView.as_view(),
        name="training-data",
    ),
    path("api/runs/", views.RunListView.as_view(), name="runs"),
    path("api/runs/<int:pk>/", views.RunDetailView.as_view(), name="run"),
    path("api/runs/<int:pk>/cancel/", views.CancelRunView.as_view(), name="cancel-run"),
    path("api/runs/<int:pk>/report/", views.ReportRunView.as_view(), name="report-run"),
    path("models/<str:name>/feedback/", pages.give_feedback, name="model-feedback"),
    path("feedback", feedback_views.DefaultFeedbackView.as_view(), name="default-feedback"),
    path("trigger", views.DefaultTriggerView.as_view(), name="trigger"),
]
