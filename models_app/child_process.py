"""Carry something out in a child process with limits, so that a crash, a hang or a leak ends there.

The kernel keeps the limits: a child that runs foreign arithmetic cannot forget them.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from django.conf import settings

from models_app import lifeline

MIB = 2**20
TAIL = 1500
LONGEST_OUTPUT = 16 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may take; None: as much as it gets. cpu: seconds. The others: bytes.

    memory: what it allocates. address_space: also what it only reserves, as libraries do.
    """

    cpu: int | None = None
    memory: int | None = None
    address_space: int | None = None
    file_size: int | None = None

    def put_on(self, pid: int) -> None:
        """Bound a process from outside, so that it cannot forget to. Only Linux can."""
        if sys.platform != "linux":
            return
        # Beyond the first of the two it is told by SIGXCPU, beyond the second it is killed.
        cpu = None if self.cpu is None else (self.cpu, self.cpu + 5)
        wanted = {
            resource.RLIMIT_DATA: self.memory,
            resource.RLIMIT_AS: self.address_space,
            resource.RLIMIT_FSIZE: self.file_size,
            resource.RLIMIT_CORE: 0,
        }
        with suppress(ProcessLookupError):
            if cpu is not None:
                resource.prlimit(pid, resource.RLIMIT_CPU, cpu)
            for kind, most in wanted.items():
                if most is not None:
                    resource.prlimit(pid, kind, (most, most))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. returncode: None when it was killed for taking too long."""

    returncode: int | None
    output: bytes = field(repr=False)
    errors: str = field(repr=False)

    @property
    def cause(self) -> str:
        """What became of it, in a few words."""
        return "it took too long" if self.returncode is None else cause_of(self.returncode)


def carry_out(
    command: Sequence[str],
    *,
    given: bytes,
    seconds: float,
    limits: Limits,
    environ: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command that reads `given`, and return what it wrote and how it ended.

    seconds: of wall time, after which it is killed with all that it started.
    """
    with (
        tempfile.TemporaryFile() as request,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        request.write(given)
        request.seek(0)
        child = start(command, stdin=request, stdout=output, stderr=errors, environ=environ or {})
        returncode = None
        try:
            limits.put_on(child.pid)
            with suppress(subprocess.TimeoutExpired):
                returncode = child.wait(seconds)
        finally:
            end(child)
        output.seek(0)
        return Ended(returncode, output.read(LONGEST_OUTPUT), tail_of(errors))


def start(
    command: Sequence[str],
    *,
    stdin: IO[bytes] | int,
    stdout: IO[bytes],
    stderr: IO[bytes],
    environ: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, which dies with this process."""
    return subprocess.Popen(
        lifeline.tied(*command),
        cwd=settings.BASE_DIR,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=os.environ | environ,
        start_new_session=True,
    )


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill a child with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def cause_of(returncode: int) -> str:
    """What a return code says, as `killed by SIGSEGV`."""
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"


def tail_of(errors: IO[bytes]) -> str:
    """The last that a child said, for the person who has to find out why it died."""
    end = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, end - TAIL))
    return errors.read().decode(errors="replace").strip()
