from django.apps import AppConfig


class FeedbackConfig(AppConfig):
    name = "feedback_app"
    verbose_name = "Feedback"
