# syntax=docker/dockerfile:1
# One image for web and worker. By default it runs both, as `make up` does; compose.yaml runs each.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY pyproject.toml requirements.lock ./
# What runs, without what only tests need (ours and, 115 MB, the libraries' own); every file is
# held to its hash in the lock.
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN python -m venv /opt/venv /opt/uv \
 && awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock > uv.txt \
 && /opt/uv/bin/pip install --quiet --require-hashes -r uv.txt \
 && /opt/uv/bin/uv pip install --quiet --require-hashes --compile-bytecode --no-cache \
        --python /opt/venv/bin/python -c requirements.lock -r pyproject.toml \
 && /opt/uv/bin/uv pip uninstall --quiet --python /opt/venv/bin/python pip setuptools \
 && for name in numpy pandas pyarrow scipy sklearn; do \
        find /opt/venv/lib/python3.*/site-packages/"$name" -type d -name tests -prune -exec rm -r {} +; \
    done

FROM python:3.11-slim-bookworm
ARG CODE_REVISION=""
# Nothing here installs anything, and the tools that the base image brings age.
RUN python -m pip uninstall --quiet --yes setuptools wheel pip \
 && useradd --uid 10001 --home-dir /var/lib/everlearn --create-home everlearn
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY . .
RUN python -m compileall -q everlearn feedback_app models_app
# All that is written goes to EVERLEARN_HOME and /tmp, so the root file system may be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/everlearn \
    EVERLEARN_HOME=/var/lib/everlearn \
    EVERLEARN_HOST=0.0.0.0 \
    EVERLEARN_CODE_REVISION=$CODE_REVISION
USER 10001
VOLUME /var/lib/everlearn
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT') or 8000}/health\", timeout=2)"]
# gunicorn and the worker end their work in hand on SIGTERM.
STOPSIGNAL SIGTERM
CMD ["python", "manage.py", "up"]
