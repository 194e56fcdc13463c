# The platform's image: web by default, the worker with the command `python manage.py run_worker`. 384 MB, of which 129 are
# Python's own.

FROM python:3.11-slim-bookworm AS environment
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv==0.13.8
COPY requirements.txt deploy/slim /
RUN python -m venv --without-pip /opt/venv \
    && uv pip install --no-cache --no-deps --python /opt/venv/bin/python -r /requirements.txt \
    && /slim /opt/venv \
    && python -m compileall -q /opt/venv/lib
WORKDIR /app
COPY . .
RUN python -m compileall -q .

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=agentplatform.settings \
    AGENTPLATFORM_DATA_DIR=/data
RUN useradd --no-log-init --no-create-home --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin platform \
    && install --directory --owner platform --mode 0700 /data
COPY --from=environment /opt/venv /opt/venv
COPY --from=environment /app /app
WORKDIR /app
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "\
from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/api/v1/health/liveness', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["uvicorn", "agentplatform.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "on", \
    "--no-access-log", "--no-server-header", "--no-proxy-headers", "--timeout-graceful-shutdown", "30"]
