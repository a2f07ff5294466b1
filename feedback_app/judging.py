"""Put the gate's question: is this version better than what serves, on rows that neither saw?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from feedback_app.snapshots import Frozen
from models_app import bundles
from models_app.bundles import Bundle
from models_app.learning import evaluation, gate, tables
from models_app.learning.answers import Answers
from models_app.learning.rows import digest_rows
from models_app.learning.tables import Task
from models_app.models import ModelVersion


def judge(
    version: ModelVersion, *, champion: ModelVersion | None, frozen: Frozen, seed: int
) -> dict[str, Any]:
    """The gate's report on `version` against `champion`, as `ModelVersion.gate` keeps it.

    A champion that asks for features which the declaration has no more cannot answer the same
    rows, and a version of which nobody knows what it learnt from may have seen them before; both
    are for a person to decide, so the verdict is HOLD. Raises BundleRefused when
    either cannot be loaded, ValueError when the metric cannot be computed from their answers.
    """
    model, rows = version.registered_model, frozen.unseen
    task = cast("Task", model.task)
    instances = tables.instances_of(rows, model.schema)
    targets = tables.targets_of(rows[model.target], task)
    trained_on = tables.targets_of(frozen.train[model.target], task)
    rival = _comparable(champion, model.schema.names)
    verdict = gate.judge(
        metric=model.metric,
        task=task,
        targets=targets,
        is_golden=frozen.is_golden,
        challenger=_answers(bundles.load(version.bundle_digest), instances),
        champion=_answers(rival, instances) if rival else None,
        constant=evaluation.constant_answers(trained_on, len(rows), task, version.classes),
        policy=_policy(model.promotion),
        seed=seed,
    )
    if champion and not rival:
        verdict = _held("comparable", verdict)
    elif champion and version.snapshot is None and verdict.verdict == "PROMOTE":
        verdict = _held("learnt_from", verdict)
    return {
        "verdict": verdict.verdict,
        "against": champion.number if champion else None,
        "rows": len(rows),
        "rows_digest": digest_rows(instances, targets.tolist()),
        "golden_digest": frozen.golden_digest,
        "checks": [asdict(check) for check in verdict.checks],
    }


def _held(failed: str, verdict: gate.Verdict) -> gate.Verdict:
    check = gate.Check(failed, passed=False, value=0.0, limit=1.0)
    return gate.Verdict("HOLD", (check, *verdict.checks))


def _comparable(champion: ModelVersion | None, names: Sequence[str]) -> Bundle | None:
    """The champion's bundle, if it can answer rows that have just these features."""
    bundle = bundles.load(champion.bundle_digest) if champion else None
    return bundle if bundle and set(bundle.schema.names) <= set(names) else None


def _answers(bundle: Bundle, instances: list[dict[str, Any]]) -> Answers:
    return bundle.answer(bundle.schema.columns(instances))


def _policy(promotion: dict[str, Any]) -> gate.Policy:
    given = {name: promotion[name] for name in ("margin", "min_rows") if name in promotion}
    return gate.Policy(**given)
