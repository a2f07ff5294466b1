"""What Prometheus reads: the counts of all web processes of this host, and what rows tell."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from rest_framework.request import Request
from rest_framework.views import APIView

from feedback_app.models import BatchJob, Feedback, RetrainingRun
from models_app import following
from models_app.models import RegistrySync


class Rows(Collector):
    """Gauges that are read from the database when they are asked for."""

    def collect(self) -> Iterator[Metric]:
        yield from _generations()
        yield _by_status(RetrainingRun, "everlearn_runs", "Runs that wait or are under way.")
        yield _by_status(BatchJob, "everlearn_batch_jobs", "Batches that wait or are under way.")
        yield _feedback()
        yield from _health()


def _generations() -> Iterator[Metric]:
    served = [one for one in following.served().values() if one.bundle]
    generations = GaugeMetricFamily(
        "everlearn_generation", "The generation that this process serves.", labels=["model"]
    )
    versions = GaugeMetricFamily(
        "everlearn_version", "The version that this process serves.", labels=["model"]
    )
    for one in served:
        generations.add_metric([one.name], one.generation)
        versions.add_metric([one.name], one.number)
    yield from (generations, versions)


def _by_status(kind: type[RetrainingRun | BatchJob], name: str, help_text: str) -> Metric:
    gauge = GaugeMetricFamily(name, help_text, labels=["status"])
    active = kind.objects.filter(status__in=kind.ACTIVE).values_list("status")
    found = dict(active.annotate(Count("pk")).order_by())
    for status in kind.ACTIVE:
        gauge.add_metric([status], found.get(status, 0))
    return gauge


def _feedback() -> Metric:
    gauge = GaugeMetricFamily(
        "everlearn_feedback", "Words of feedback.", labels=["model", "status"]
    )
    # A count too would tell whether a word that was just said contradicts a golden row.
    words = Feedback.objects.with_shown_status(reviewer=False).values_list(  # type: ignore[misc]
        "registered_model__name", "shown_status"
    )
    for model, status, count in words.annotate(Count("pk")).order_by():
        gauge.add_metric([model, status], count)
    return gauge


def _health() -> Iterator[Metric]:
    degraded = GaugeMetricFamily(
        "everlearn_degraded", "1 for each neighbour that does not do its part.", labels=["what"]
    )
    for what in following.degraded():
        degraded.add_metric([what], 1)
    yield degraded
    yield GaugeMetricFamily("everlearn_ready", "1 when /ready says so.", following.ready())
    pulse = RegistrySync.objects.filter(pk=1).values_list("pulse_at", flat=True).first()
    if pulse:
        age = (timezone.now() - pulse).total_seconds()
        yield GaugeMetricFamily("everlearn_pulse_age_seconds", "Since the queue's last pulse.", age)


class MetricsView(APIView):
    """Prometheus' text, for readers and for the addresses of EVERLEARN_METRICS_ALLOW."""

    def open_to(self, request: Request) -> bool:
        # Behind a proxy everybody seems to come from its address.
        if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
            return False
        try:
            address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
        except ValueError:
            return False
        return any(address in network for network in settings.EVERLEARN_METRICS_ALLOW)

    @extend_schema(responses={(200, "text/plain"): OpenApiResponse(OpenApiTypes.STR)})
    def get(self, _: Request) -> HttpResponse:
        return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def exposition() -> bytes:
    """Every metric as text."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        counted = generate_latest(registry)
    else:
        counted = generate_latest(REGISTRY)
    rows = CollectorRegistry()
    rows.register(Rows())
    return counted + generate_latest(rows)
