"""Tables whose rows stay as they were written, whoever asks and by whatever SQL."""

from __future__ import annotations

from typing import Any

from django.db.backends.ddl_references import Statement, Table
from django.db.models import BaseConstraint

REFUSE_ON_SQLITE = """
CREATE TRIGGER {name}_{event} BEFORE {event} ON %(table)s {when}
BEGIN SELECT RAISE(ABORT, 'rows are only ever added here'); END
"""
REFUSE_ON_POSTGRES = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_NARGS = 1
        AND to_jsonb(NEW) = to_jsonb(OLD) || jsonb_build_object(TG_ARGV[0], '')
    THEN
        RETURN NEW;
    END IF;
    RAISE 'rows are only ever added here' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER {name} BEFORE UPDATE OR DELETE ON %(table)s
FOR EACH ROW EXECUTE FUNCTION refuse_change({erasable})
"""


class AppendOnly(BaseConstraint):
    """Has the database refuse every UPDATE and DELETE of a row, with an IntegrityError.

    erasable: the one column of text that may be emptied, with nothing else changed, since what
    it says may have to be forgotten. A constraint to Django, so that migrations keep it, also
    where SQLite makes a table anew.
    """

    def __init__(self, *, name: str, erasable: str = "") -> None:
        super().__init__(name=name)
        self.erasable = erasable

    def deconstruct(self) -> Any:
        path, args, options = super().deconstruct()
        return path, args, options | ({"erasable": self.erasable} if self.erasable else {})

    # Django's own types have str and None here; what it passes and takes are these.
    def constraint_sql(self, model: Any, schema_editor: Any) -> str:
        # Not a part of CREATE TABLE, but what comes after it.
        schema_editor.deferred_sql.extend(self._statements(model, schema_editor))
        return ""

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        (statement,) = self._statements(model, schema_editor)  # SQLite makes the table anew
        return statement

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        return _about(f"DROP TRIGGER {self.name} ON %(table)s", model, schema_editor)

    def validate(self, *args: Any, **options: Any) -> None:
        """Whether a row is being added or changed, only the database knows for sure."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AppendOnly) and self.deconstruct() == other.deconstruct()

    def __hash__(self) -> int:
        return hash(self.name)

    def _statements(self, model: Any, schema_editor: Any) -> list[Statement]:
        erasable = f"'{self.erasable}'" if self.erasable else ""
        templates = [REFUSE_ON_POSTGRES.format(name=self.name, erasable=erasable)]
        if schema_editor.connection.vendor == "sqlite":
            templates = [
                REFUSE_ON_SQLITE.format(name=self.name, event=event, when=when)
                for event, when in (("UPDATE", self._unless_erasing(model)), ("DELETE", ""))
            ]
        return [_about(template, model, schema_editor) for template in templates]

    def _unless_erasing(self, model: Any) -> str:
        """When an update of SQLite's is refused: always, or unless it empties that column."""
        if not self.erasable:
            return ""
        columns = [field.column for field in model._meta.local_concrete_fields]  # noqa: SLF001
        kept = [f"NEW.{name} IS OLD.{name}" for name in columns if name != self.erasable]
        erased = " AND ".join([f"NEW.{self.erasable} = ''", *kept])
        return f"WHEN NOT ({erased})"


def _about(template: str, model: Any, schema_editor: Any) -> Statement:
    table = Table(model._meta.db_table, schema_editor.quote_name)  # noqa: SLF001 - Django's API
    return Statement(template, table=table)
