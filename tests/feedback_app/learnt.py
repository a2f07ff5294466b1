"""Champions of models that were declared with a file, learnt from it as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models_app import applying, conversion, datasets, declaration
from models_app.actors import system_user
from models_app.learning import pipeline, tables
from models_app.models import ModelVersion, RegisteredModel
from tests.factories import make_champion


def learnt(folder: Path, content: bytes | str, target: str, more: str = "") -> ModelVersion:
    """A champion of the model `leaves`. more: what its declaration says beside the data."""
    (folder / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    path = folder / "models.toml"
    path.write_text(f'[models.leaves]\ndata = "t.csv"\ntarget = "{target}"\n{more}')
    applying.apply(applying.plan(declaration.read(path), path), actor=system_user("cli"))
    model = RegisteredModel.objects.get()
    return make_champion(model, **_fitted(model))


def _fitted(model: RegisteredModel) -> dict[str, Any]:
    rows, _ = datasets.read_for(model)
    task: Any = model.task
    schema = tables.with_categories(model.schema, rows)
    answers = tables.targets_of(rows[model.target], task)
    name = "logistic" if task == "classification" else "ridge"
    estimator = pipeline.build(name, schema=schema, task=task, seed=0)
    estimator.fit(tables.encode(rows, schema), answers)
    classes = tuple(str(one) for one in getattr(estimator, "classes_", ()))
    made = conversion.make_bundle(
        estimator, name=model.name, schema=schema, task=task, classes=classes,
        instances=tables.instances_of(rows, schema),
    )  # fmt: skip
    return {
        "features": schema.to_json(),
        "classes": list(classes),
        "bundle_digest": made.digest,
        "runtime": made.runtime,
    }
