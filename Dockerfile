# syntax=docker/dockerfile:1

FROM python:3.13.14-slim AS build
WORKDIR /src
RUN python -m venv /opt/golive
COPY pyproject.toml README.md LICENSE ./
COPY sdk sdk
COPY exporters exporters
COPY api api
COPY dashboards dashboards
RUN /opt/golive/bin/pip install --no-cache-dir '.[all]'

FROM python:3.13.14-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/golive golive \
    && install -d -o golive -g golive /var/lib/golive/spool \
    # A volume mounted here belongs to whom the folder belongs.
    && install -d -o golive -g golive /run/secrets/golive
COPY --from=build /opt/golive /opt/golive
COPY deploy/make_secrets.py deploy/prepare.py deploy/alert_log.py deploy/daily.py deploy/load.py /opt/deploy/
ENV PATH=/opt/golive/bin:$PATH \
    PYTHONPATH=/opt \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GOLIVE_SPOOL_DIR=/var/lib/golive/spool
USER 10001
WORKDIR /var/lib/golive
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["golive"]
CMD ["serve", "--host", "0.0.0.0"]
