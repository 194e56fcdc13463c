# The platform's image: web by default, the worker with the command `python manage.py run_worker`.

FROM python:3.11-slim-bookworm AS environment
RUN pip install --no-cache-dir uv==0.13.8
COPY requirements.txt /
RUN python -m venv /opt/venv \
    && uv pip install --no-cache --compile-bytecode --python /opt/venv/bin/python -r /requirements.txt

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=agentplatform.settings \
    AGENTPLATFORM_DATA_DIR=/data
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin platform \
    && install --directory --owner platform --mode 0700 /data
COPY --from=environment /opt/venv /opt/venv
WORKDIR /app
COPY . .
RUN python -m compileall -q .
USER platform
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "\
from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/api/v1/health/liveness', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["uvicorn", "agentplatform.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "on", \
    "--no-access-log", "--no-server-header", "--no-proxy-headers", "--timeout-graceful-shutdown", "30"]
