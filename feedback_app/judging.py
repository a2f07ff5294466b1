"""Put the gate's question: is this version better than what serves, on rows that neither saw?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from feedback_app.snapshots import Frozen, trained_digests
from models_app import bundles
from models_app.bundles import Bundle
from models_app.learning import evaluation, gate, tables
from models_app.learning.answers import Answers
from models_app.learning.evidence import unchecked_classes
from models_app.learning.golden_checks import Anchor
from models_app.learning.probes import ProbeAnswers, probes_of
from models_app.learning.rows import digest_instance, digest_rows
from models_app.learning.schema import Schema
from models_app.learning.slices import segments_of
from models_app.learning.tables import Task
from models_app.models import ModelVersion, RegisteredModel

REPEATED = (
    "The rows repeat few different instances, so golden rows have the same features as rows that "
    "trained. The checks tell how well such instances are answered, and nothing of others."
)


def judge(
    version: ModelVersion,
    *,
    champion: ModelVersion | None,
    frozen: Frozen,
    seed: int,
    automatic: bool = False,
) -> dict[str, Any]:
    """The gate's report on `version` against `champion`, as `ModelVersion.gate` keeps it.

    automatic: the version is promoted on PROMOTE, and nobody looks at the report before. A
    champion that asks for features which the declaration has no more, or of another kind, cannot
    answer the same rows, and a version of which nobody knows what it learnt from may have seen
    them before; both are for a person to decide, so the verdict is HOLD. Raises BundleRefused when
    either cannot be loaded, ValueError when the metric cannot be computed from their answers.
    """
    model = version.registered_model
    exam = Exam.of(frozen, model)
    challenger = bundles.load(version.bundle_digest)
    rival = _comparable(champion, model.schema)
    first = None if rival is None else anchor_of(model, besides=(version, champion))
    policy = _policy(model.promotion, automatic)
    verdict = exam.verdict(challenger, champion=rival, first=first, policy=policy, seed=seed)
    if champion and not rival:
        verdict = _held("comparable", verdict)
    elif champion and version.snapshot is None and verdict.verdict == "PROMOTE":
        verdict = _held("learnt_from", verdict)
    return {
        "verdict": verdict.verdict,
        "against": champion.number if champion else None,
        "anchor": first.number if first else None,
        "automatic": automatic,
        "left_to_a_person": gate.left_to_a_person(verdict),
        "rows": len(exam.targets),
        "golden_rows": int(exam.is_golden.sum()),
        "rows_digest": digest_rows(exam.instances, exam.targets.tolist()),
        "golden_digest": frozen.golden_digest,
        "checks": [asdict(check) for check in verdict.checks],
        "notes": exam.notes(),
    }


def anchor_of(
    model: RegisteredModel, *, besides: Collection[ModelVersion | None]
) -> ModelVersion | None:
    """The first version that served, of which is known what it learnt from; it never changes.

    None when it is among `besides`, when it no longer has a bundle, and before there is one.
    """
    served = model.deployments.filter(version__snapshot__isnull=False).order_by("generation")
    line = served.select_related("version__snapshot").first()
    if line is None or line.version in besides or not line.version.servable:
        return None
    return line.version


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """The n unseen rows of a snapshot as questions. targets, is_golden: shape (n,)."""

    model: RegisteredModel
    frozen: Frozen
    instances: list[dict[str, Any]]
    targets: NDArray[Any]
    is_golden: NDArray[np.bool_]

    @classmethod
    def of(cls, frozen: Frozen, model: RegisteredModel) -> Exam:
        rows, task = frozen.unseen, cast("Task", model.task)
        instances = tables.instances_of(rows, model.schema)
        targets = tables.targets_of(rows[model.target], task)
        return cls(model, frozen, instances, targets, frozen.is_golden)

    def verdict(
        self,
        challenger: Bundle,
        *,
        champion: Bundle | None,
        first: ModelVersion | None,
        policy: gate.Policy,
        seed: int,
    ) -> gate.Verdict:
        """Put every question, and have the gate compare the answers."""
        classes = challenger.classes
        task, schema = cast("Task", self.model.task), self.model.schema
        trained_on = tables.targets_of(self.frozen.train[self.model.target], task)
        return gate.judge(
            metric=self.model.metric,
            task=task,
            targets=self.targets,
            is_golden=self.is_golden,
            challenger=_answers(challenger, self.instances, classes),
            champion=_answers(champion, self.instances, classes) if champion else None,
            constant=evaluation.constant_answers(trained_on, len(self.targets), task, classes),
            policy=policy,
            seed=seed,
            anchor=self._anchor(first, classes) if first else None,
            segments=segments_of(self.instances, schema, self.is_golden) if champion else None,
            probes=self._probed(challenger, champion, seed) if champion else (),
        )

    def notes(self) -> list[str]:
        """A sentence for each thing that the checks cannot see."""
        notes = [REPEATED] if self.frozen.repeated else []
        if self.model.task == RegisteredModel.Task.CLASSIFICATION:
            trained = tables.targets_of(self.frozen.train[self.model.target], "classification")
            notes += unchecked_classes(trained.tolist(), set(self.targets[self.is_golden].tolist()))
        return notes

    def _anchor(self, first: ModelVersion, classes: Sequence[str]) -> Anchor | None:
        bundle = _comparable(first, self.model.schema)
        if bundle is None:
            return None
        trained = trained_digests(first)
        digests = self.frozen.digests
        if digests is None:
            digests = [digest_instance(instance) for instance in self.instances]
        fresh = [digest not in trained for digest in digests]
        answers = _answers(bundle, self.instances, classes)
        return Anchor(answers, np.array(fresh, dtype=np.bool_))

    def _probed(self, challenger: Bundle, champion: Bundle, seed: int) -> list[ProbeAnswers]:
        """Both answers to golden rows that are altered as feedback is."""
        schema, (places,) = self.model.schema, np.nonzero(self.is_golden)
        base, feedback = self.frozen.parts()
        probes = probes_of(
            [self.instances[place] for place in places],
            places,
            base=tables.instances_of(base, schema),
            feedback=tables.instances_of(feedback, schema),
            schema=schema,
            seed=seed,
        )
        return [
            ProbeAnswers(
                probe.rows,
                champion=_answers(champion, probe.instances, challenger.classes),
                challenger=_answers(challenger, probe.instances, challenger.classes),
            )
            for probe in probes
        ]


def _held(failed: str, verdict: gate.Verdict) -> gate.Verdict:
    check = gate.Check(failed, passed=False, value=0.0, limit=1.0)
    return gate.Verdict("HOLD", (check, *verdict.checks))


def _comparable(champion: ModelVersion | None, schema: Schema) -> Bundle | None:
    """The champion's bundle, if it can answer rows that have just these features.

    A feature that has become one of another kind is another feature.
    """
    if champion is None:
        return None
    bundle = bundles.load(champion.bundle_digest)
    asked = {(one.name, one.kind) for one in bundle.schema.features}
    return bundle if asked <= {(one.name, one.kind) for one in schema.features} else None


def _answers(bundle: Bundle, instances: list[dict[str, Any]], classes: Sequence[str]) -> Answers:
    """The answers of a version that may have learnt other spellings of categories and classes."""
    normal = bundle.schema.normalized(instances)
    return bundle.answer(bundle.schema.columns(normal)).spelt(classes)


def _policy(promotion: dict[str, Any], automatic: bool) -> gate.Policy:
    given = {name: promotion[name] for name in ("margin", "min_rows") if name in promotion}
    return gate.Policy(**given, automatic=automatic)
