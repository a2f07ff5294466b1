"""Models as people declare them: a table as text, and what `everlearn.toml` says of it."""

from __future__ import annotations

from django.conf import settings

from models_app import applying, declaration
from models_app.actors import system_user
from models_app.models import RegisteredModel
from tests.feedback_app.trained import train


def declare(table: str, said: str, *, name: str = "model") -> RegisteredModel:
    """A public model of a CSV, applied and not trained. said: what its declaration says."""
    (settings.EVERLEARN_HOME / f"{name}.csv").write_text(table)
    path = settings.EVERLEARN_HOME / "declared.toml"
    path.write_text(
        f'default = "{name}"\n[models.{name}]\ndata = "{name}.csv"\npublic = true\n{said}'
    )
    changes = applying.plan(declaration.read(path), path)
    applying.apply(changes, actor=system_user("cli"))
    return RegisteredModel.objects.get(name=name)


def serve(table: str, said: str, *, name: str = "model") -> RegisteredModel:
    """The same, once its first version serves."""
    model = declare(table, said, name=name)
    run = train(model)
    assert run.status == "succeeded", run.error
    model.refresh_from_db()
    return model
