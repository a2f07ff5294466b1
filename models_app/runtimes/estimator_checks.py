"""What may stand in the attributes of an object that a skops file would build.

Every object is checked: no attribute may take the place of a method, no function stands where
none belongs, and parameters that open files, start threads or call what they are given are None
or one of a few values. Types that compiled code trusts have checks of their own beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from models_app.runtimes import (
    allowed_types as allowed,
)
from models_app.runtimes import (
    neighbour_checks,
    sparse_checks,
    svm_checks,
    tree_checks,
)
from models_app.runtimes.attributes import integer, short
from models_app.runtimes.refusing import expect
from models_app.runtimes.skops_arrays import Archive
from models_app.runtimes.skops_nodes import Named, Record, read

MOST_THREADS = 64
_MOST_POLYNOMIALS = 200_000
# Set on an instance though its class has it too; a plain value that is never called.
_SHADOWS = frozenset({"positive"})
_TYPES_UNDER = frozenset({"dtype", "dtype_include", "dtype_exclude"})
_NONE = ("memory", "cache_dir", "location", "kw_args", "inv_kw_args", "pattern")
_KERNELS = svm_checks.KERNELS | {
    "additive_chi2", "chi2", "cosine", "laplacian", "polynomial",
}  # fmt: skip

_CHECKS: Mapping[str, Callable[[Record], None]] = {
    **tree_checks.CHECKS,
    **neighbour_checks.CHECKS,
    **svm_checks.CHECKS,
    **sparse_checks.CHECKS,
}


def check_file(file: bytes) -> list[str]:
    """The names of all types and functions in a skops file, each of which may be built.

    Raises BundleRefused (`artifact_untrusted`) for a file that must not be built.
    """
    whole, names = read(Archive(file))
    try:
        check(whole)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        expect(False, f"an object of its skops file makes no sense: {error!r:.100}")
    return names


def check(value: Any) -> None:
    """Refuse a value, read from a skops file, that holds an object which must not be built."""
    seen: set[int] = set()
    pending = [("", value)]
    while pending:
        key, one = pending.pop()
        if isinstance(one, Named):
            _check_named(key, one)
        elif isinstance(one, Record | dict | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            if isinstance(one, Record):
                _check_record(one)
            pending.extend(_within(one))


def _within(one: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(one, Record):
        if isinstance(one.state, dict):
            yield from one.state.items()
        else:
            yield "", one.state
        yield "", one.arguments
    else:
        yield from (("", each) for each in (one.values() if isinstance(one, dict) else one))


def _check_named(key: str, named: Named) -> None:
    known = allowed.FUNCTIONS.get(key, frozenset()) if named.is_function else allowed.TYPES
    stands = named.is_function or key in _TYPES_UNDER
    expect(stands and named.name in known, f"{named.name} stands as {key or 'an item'}, where it "
           f"may not; functions are allowed only as {', '.join(allowed.FUNCTIONS)}")  # fmt: skip


def _check_record(record: Record) -> None:
    if isinstance(record.state, dict) and record.type != allowed.TREE:
        taken = _members(record.type).intersection(record.state) - _SHADOWS
        expect(not taken, f"{short(record)} has {sorted(taken)[:3]} in place of its own members")
        _check_parameters(record)
    if special := _CHECKS.get(record.type):
        special(record)


@cache
def _members(name: str) -> frozenset[str]:
    return frozenset(dir(import_string(name)))


def _check_parameters(record: Record) -> None:
    name = short(record)
    for one in _NONE:
        expect(
            not record.get(one), f"{name} has {one} = {record.get(one)!r:.60}; only None is allowed"
        )
    if record.get("n_jobs") is not None:
        integer(record.get("n_jobs"), f"n_jobs of {name}", least=-MOST_THREADS, most=MOST_THREADS)
    for one, values in (("metric", neighbour_checks.METRICS), ("kernel", _KERNELS)):
        given = record.get(one)
        usual = not isinstance(given, str) or given in values
        expect(
            usual,
            f"{name} has {one} = {given!r:.40}, one of {', '.join(sorted(values))} is allowed",
        )
    for one in ("metric_params", "kernel_params"):
        expect(not record.get(one) or set(record.get(one)) <= {"p"}, f"{one} of {name} is not None")
    if name == "PolynomialFeatures":
        integer(record.get("n_output_features_"), "n_output_features_", most=_MOST_POLYNOMIALS)
        integer(record.get("_n_out_full"), "_n_out_full", most=_MOST_POLYNOMIALS)
