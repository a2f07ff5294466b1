"""Parts of admin pages: a version's gate report, metrics and schema as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Model
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from models_app.models import TrainingSnapshot
from models_app.snapshot_sources import listed

DASH = "–"
LARGE = 10_000
SMALL = 0.01
# Of a table with thousands of columns; a page with all of them takes seconds.
COLUMNS_SHOWN = 500

TONES = {
    "PROMOTE": "success", "HOLD": "warning", "REJECT": "danger",
    "champion": "success", "challenger": "info", "rejected": "danger",
}  # fmt: skip

CHECKS = {
    "finite": "All its answers are finite numbers",
    "min_rows": "Enough unseen rows were answered by both",
    "beats_constant": "Better than always giving the same answer",
    "margin": "Better than the champion by the margin",
    "interval": "The 90 % interval of the difference stays above zero",
    "golden": "Not worse on the golden rows",
    "golden_margin": "Better by the margin on golden rows alone, as automatic promotion needs",
    "anchor": "Not worse on golden rows than the first version that served",
    "slices": "No class is recognised much worse than before",
    "segments": "No segment of the golden rows is answered much worse than before",
    "comparable": "The champion takes the features that are declared now, of the same kinds",
    "learnt_from": "It is known which rows it learnt from",
    "probes": "Golden rows altered as feedback is are answered as before",
}


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> SafeString:
    """A table in the admin's look; cells are escaped unless they are safe already."""
    context = {"table": {"headers": headers, "rows": [{"cols": row} for row in rows]}}
    return render_to_string("unfold/components/table.html", context)


def label(text: str, tone: str = "") -> SafeString:
    """A small coloured label; its colour is that of the word, unless `tone` names one."""
    context = {"text": text, "type": tone or TONES.get(text, "")}
    return render_to_string("unfold/helpers/label.html", context)


def anchor(address: str, text: object) -> SafeString:
    style = "text-primary-600 dark:text-primary-500"
    return format_html('<a class="{}" href="{}">{}</a>', style, address, text)


def link(thing: Model | None) -> SafeString | str:
    """A link to the thing's admin page, or a dash."""
    if thing is None:
        return DASH
    options = thing._meta  # noqa: SLF001 - documented, in spite of its name
    page = f"admin:{options.app_label}_{options.model_name}_change"
    return anchor(reverse(page, args=[thing.pk]), thing)


def number(value: object) -> str:
    """A figure that people compare, to four significant places; a dash where there is none."""
    if value is None:
        return DASH
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.1f}" if abs(value) >= LARGE else f"{value:.4g}"


def written(answer: str | float) -> str:
    """An answer as people write it: a class, or a number without needless digits."""
    if isinstance(answer, str):
        return answer
    if answer and abs(answer) < SMALL:
        return f"{answer:.4g}"
    return f"{answer:,.4f}".rstrip("0").rstrip(".")


def moved(difference: float, *, share: bool) -> str:
    """By how much a number or a share moved, with its sign."""
    size = abs(difference)
    return ("−" if difference < 0 else "+") + (f"{100 * size:.1f} %" if share else written(size))


def metrics_table(metrics: Mapping[str, float]) -> SafeString | str:
    rows = [(name, number(value)) for name, value in metrics.items()]
    return table(["Metric", "Value"], rows) if rows else "Not measured."


def gate_report(gate: Mapping[str, Any] | None) -> SafeString:
    """The verdict, what it was reached on, and every check with its value and limit."""
    if gate is None:
        return SafeString("The gate never judged this version.")
    against = gate.get("against")
    rival = "nothing: no version served yet" if against is None else f"version {against}"
    head = format_html(
        '<p class="mb-3">{} against {}, on {} unseen rows'
        ' <span class="block text-xs break-all">{}</span></p>',
        label(gate["verdict"]), rival, gate.get("rows", "?"), gate.get("rows_digest", ""),
    )  # fmt: skip
    if gate.get("left_to_a_person"):
        head += SafeString('<p class="mb-3">A person who may promote decides: look at the checks'
                           " that failed and at the sources below.</p>")  # fmt: skip
    for note in gate.get("notes", ()):
        head += format_html('<p class="mb-3">{}</p>', note)
    rows = [_check_row(check) for check in gate["checks"]]
    return mark_safe(head + table(["Check", "Result", "Value", "Limit"], rows))  # noqa: S308


def _check_row(check: Mapping[str, Any]) -> list[object]:
    name = check["name"]
    told = format_html('<span title="{}">{}</span>', name, CHECKS.get(name, name))
    result = label("pass", "success") if check["passed"] else label("fail", "danger")
    return [told, result, number(check["value"]), number(check["limit"])]


def lineage(snapshot: TrainingSnapshot | None) -> SafeString | str:
    """What a version learnt from, down to the digest of the rows."""
    if snapshot is None:
        return "It was trained elsewhere."
    return table(
        ["Rows", "Of them feedback", "Frozen", "Digest"],
        [(snapshot.rows, snapshot.feedback_rows, f"{snapshot.created_at:%F %R}", snapshot.digest)],
    )


def sources(snapshot: TrainingSnapshot | None) -> SafeString | str:
    """Who contributed how much of the feedback."""
    if snapshot is None or snapshot.sources is None:
        return "Not known."
    rows = [
        (one["source"], one["offered"], one["reviewed"], one["kept"], one["trained"],
         one["judged"], one["unusable"], one["broke_training"], f"{one['weight']:.1%}")
        for one in listed(snapshot.sources)
    ]  # fmt: skip
    heads = [
        "Source", "Rows offered", "Reviewed by a person", "Kept within its share", "Trained",
        "Judged", "Unusable", "Broke training", "Part of the training weight",
    ]  # fmt: skip
    return table(heads, rows) if rows else "No feedback."


def comparison(champion: Mapping[str, float], challenger: Mapping[str, float]) -> list[list[str]]:
    """A row for each metric that either has: name, champion's, challenger's, difference."""
    rows = []
    for name in dict.fromkeys([*challenger, *champion]):
        before, after = champion.get(name), challenger.get(name)
        change = DASH if before is None or after is None else f"{after - before:+.4g}"
        rows.append([name, number(before), number(after), change])
    return rows


def schema_table(features: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> SafeString:
    """What a model takes. labels: what people call a feature, where that is another word."""
    shown = [one for one in features if not one.get("ignored")]
    rows = [
        (_called(one["name"], labels), one["kind"],
         "required" if one["required"] else "optional", _as_written(one.get("reading", {})),
         ", ".join(one.get("categories", ())[:12]))
        for one in shown[:COLUMNS_SHOWN]
    ]  # fmt: skip
    drawn = table(["Feature", "Kind", "", "Read as", "Categories"], rows)
    return _with_rest(drawn, len(shown) - len(rows))


def _called(name: str, labels: Mapping[str, str]) -> str:
    return f"{labels[name]} ({name})" if name in labels else name


def _as_written(reading: Mapping[str, Any]) -> str:
    told = ((key, ", ".join(map(repr, value)) if isinstance(value, list) else repr(value))
            for key, value in reading.items())  # fmt: skip
    return "; ".join(f"{key} {value}" for key, value in told)


def profile_table(profile: Mapping[str, Any]) -> SafeString | str:
    """What was understood of each column of the base data, with every assumption and warning."""
    if not profile:
        return (
            "Not looked at: the data is read as it was before this was kept, until "
            "`manage.py apply --reread`."
        )
    columns = profile["columns"]
    # What needs a look first, however wide the table is.
    shown = sorted(columns, key=lambda one: not one["warnings"])[:COLUMNS_SHOWN]
    rows = [
        (one["name"] or "(no name)", one["kind"] or label("left out"), one["missing"] or "",
         ", ".join(one["examples"]), _notes(one))
        for one in shown
    ]  # fmt: skip
    unusable = f"; {profile['unusable']} more have no target" if profile["unusable"] else ""
    head = format_html('<p class="mb-3">{} rows{}.</p>', profile["rows"], unusable)
    drawn = table(["Column", "Kind", "Missing", "Examples", "Notes"], rows)
    return _with_rest(mark_safe(head + drawn), len(columns) - len(rows))  # noqa: S308


def _notes(column: Mapping[str, Any]) -> SafeString:
    lines = [line for line in (column["left_out"], *column["assumptions"]) if line]
    return format_html(
        "{}{}",
        format_html_join("", "<div>{}</div>", ((line,) for line in lines)),
        format_html_join("", "<div>{} {}</div>", (
            (label("warning", "warning"), line) for line in column["warnings"]
        )),
    )  # fmt: skip


def warnings_table(warnings: Mapping[str, Sequence[str]]) -> SafeString | str:
    """What was odd about the columns that a version learnt from."""
    rows = [(name, line) for name, lines in warnings.items() for line in lines]
    if not rows:
        return "None."
    return _with_rest(table(["Column", "Warning"], rows[:COLUMNS_SHOWN]), len(rows) - COLUMNS_SHOWN)


def _with_rest(drawn: SafeString, left: int) -> SafeString:
    """The table, and how many rows it leaves out."""
    rest = format_html('<p class="mt-3">{} more are not shown.</p>', left) if left > 0 else ""
    return mark_safe(drawn + rest)  # noqa: S308
