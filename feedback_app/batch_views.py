"""Files: rows to predict, the jobs that do it, and the rows of the next training."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.response import Response
from rest_framework.views import APIView

from feedback_app import batches, training_data
from feedback_app.models import BatchJob
from feedback_app.views import find_run
from models_app import serving
from models_app.refusals import NotFound
from models_app.serializers import EmptyRequest
from models_app.views import ActorRequest, find_model

Format = BatchJob.Format
MEDIA_TYPES = {Format.CSV: "text/csv", Format.NDJSON: "application/x-ndjson"}
FORMAT_OF = {media_type: form for form, media_type in MEDIA_TYPES.items()}
TABLES = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv; charset=utf-8"}
FILE = dict.fromkeys(FORMAT_OF, OpenApiTypes.BINARY)


class JobStartedSerializer(serializers.Serializer[BatchJob]):
    job = serializers.UUIDField(source="id")
    status = serializers.ChoiceField(BatchJob.Status.choices)


class JobProgressSerializer(serializers.Serializer[BatchJob]):
    done = serializers.IntegerField()
    total = serializers.IntegerField(help_text="0 until the rows were counted.")


class JobSerializer(serializers.ModelSerializer[BatchJob]):
    model = serializers.CharField(source="registered_model.name")
    version = serializers.IntegerField(source="version.number")
    progress = JobProgressSerializer(source="*")
    result = serializers.SerializerMethodField()

    class Meta:
        model = BatchJob
        fields = (
            "id", "model", "version", "generation", "status", "progress", "result", "error",
            "created_at", "started_at", "ended_at",
        )  # fmt: skip

    def get_result(self, job: BatchJob) -> str | None:
        ready = job.status == BatchJob.Status.SUCCEEDED and job.input
        return reverse("job-result", args=[job.pk]) if ready else None


class TrainingDataFilter(serializers.Serializer[Any]):
    format = serializers.ChoiceField(training_data.FORMATS, default="parquet")
    run = serializers.IntegerField(
        required=False, min_value=1, help_text="One that is trained elsewhere: what it froze."
    )


class PredictBatchView(APIView):
    """Predict a CSV or NDJSON file of up to 100 MiB in the background.

    The version that serves now answers every row. A row that is wrong is answered with its
    error, in its place.

    CSV is read as the data is that the model learns from, which may itself be sent as it is: its
    words for what is missing, dates, decimal signs and spellings; in UTF-8 or its encoding; and
    with commas, semicolons, tabs, `|` or its separator, whichever shows the features in the
    header. A column that is missing though its feature is required, and a name that occurs
    twice, are refused. NDJSON has an instance a line, as `predict` takes it. What is no feature is
    copied into the result.
    """

    @extend_schema(request=FILE, responses={202: JobStartedSerializer})
    def post(self, request: ActorRequest, name: str) -> Response:
        form = FORMAT_OF.get((request.content_type or "").partition(";")[0].strip().lower())
        if form is None:
            raise UnsupportedMediaType(request.content_type or "")
        stream: Any = request.stream or io.BytesIO()
        job = batches.submit(serving.registered(name), stream, form=form, actor=request.user)
        return Response(
            JobStartedSerializer(job).data,
            status=202,
            headers={"Location": reverse("job", args=[job.pk])},
        )


class JobView(APIView):
    """A batch job: its requester's own, or anybody's for readers."""

    @extend_schema(responses=JobSerializer)
    def get(self, request: ActorRequest, pk: UUID) -> Response:
        return Response(JobSerializer(find_job(pk, request)).data)


class JobResultView(APIView):
    """The answers, one a row in the order of the rows, in the format that was sent.

    CSV has the columns of the file with their cells, then `prediction_id`, `value`,
    `probability_<class>` for each class, `error`, and `warnings` (as `unseen_category:color`,
    several with `; ` between them). NDJSON has `id`, `value`, `probabilities` and `warnings` as
    `predict` answers, or `error` and `errors`, and the members of the row that are no features. A
    name of the file that is one of these has `input_` before it, as `input_value`. In CSV, texts
    that a spreadsheet would take for formulas begin with `'`.
    """

    @extend_schema(
        responses={
            (200, media_type): OpenApiResponse(OpenApiTypes.BINARY) for media_type in FORMAT_OF
        }
    )
    def get(self, request: ActorRequest, pk: UUID) -> StreamingHttpResponse:
        job = find_job(pk, request)
        file_name = f"{job.registered_model.name}-{job.pk}.{job.format}"
        return StreamingHttpResponse(
            batches.result_of(job),
            content_type=f"{MEDIA_TYPES[Format(job.format)]}; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
        )


class CancelJobView(APIView):
    @extend_schema(request=None, responses=JobSerializer)
    def post(self, request: ActorRequest, pk: UUID) -> Response:
        EmptyRequest(data=request.data).is_valid(raise_exception=True)
        return Response(
            JobSerializer(batches.cancel(find_job(pk, request), actor=request.user)).data
        )


class TrainingDataView(APIView):
    """The rows of the next snapshot that would train, with their weights, or those of a run.

    Base data and accepted feedback, without the golden rows and what is held out for the gate.
    Parquet is exact, and its metadata say under `everlearn` what else training depends on; in
    CSV, texts that a spreadsheet would take for formulas begin with `'`.
    """

    @extend_schema(
        parameters=[TrainingDataFilter],
        responses={(200, kind): OpenApiResponse(OpenApiTypes.BINARY) for kind in TABLES.values()},
    )
    def get(self, request: ActorRequest, name: str) -> StreamingHttpResponse:
        asked = TrainingDataFilter(data=request.query_params)
        asked.is_valid(raise_exception=True)
        model, form = find_model(name), asked.validated_data["format"]
        run_id = asked.validated_data.get("run")
        run = find_run(run_id, of=model) if run_id else None
        return StreamingHttpResponse(
            training_data.stream(model, form, actor=request.user, run=run),
            content_type=TABLES[form],
            headers={"Content-Disposition": f'attachment; filename="{name}.{form}"'},
        )


def find_job(pk: UUID, request: ActorRequest) -> BatchJob:
    """The job of that id that the one who asks may see. Raises NotFound."""
    jobs = BatchJob.objects.select_related("registered_model", "version")
    if not request.user.has_perm("models_app.view_prediction"):
        jobs = jobs.filter(requested_by_id=request.user.pk)
    job = jobs.filter(pk=pk).first()
    if job is None:
        raise NotFound(f"There is no job {pk}.")
    return job
