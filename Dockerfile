# The server. Build it with deploy/build-image (with or without an image registry), start it with compose.yaml.
# BASE: any Debian-family image with python3 (3.11 or later) and its venv module.
ARG BASE=python:3.12-slim
FROM $BASE

# Packages first: they change seldom. Each file must have the hash in the lock, wherever it comes from: from var/wheels
# when deploy/build-image has put files there, otherwise from the package index.
COPY requirements.lock var/wheels* /tmp/packages/
RUN set -eu; \
    python3 -m venv /opt/venv; \
    if ls /tmp/packages/*.whl >/dev/null 2>&1; then source="--no-index --find-links /tmp/packages"; else source=""; fi; \
    /opt/venv/bin/pip --disable-pip-version-check --no-cache-dir install --no-deps --require-hashes $source \
        -r /tmp/packages/requirements.lock; \
    rm -rf /tmp/packages; \
    printf '%s\n' '#!/opt/venv/bin/python' 'import sys' 'from app.cli import main' 'sys.exit(main())' \
        >/opt/venv/bin/crucible; \
    chmod 0755 /opt/venv/bin/crucible; \
    groupadd --gid 10001 crucible; \
    useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin crucible; \
    install -d -o crucible -g crucible -m 0700 /data

COPY app /srv/crucible/app
COPY migrations /srv/crucible/migrations
COPY sandbox_runner /srv/crucible/sandbox_runner
COPY static /srv/crucible/static
COPY suites /srv/crucible/suites
COPY templates /srv/crucible/templates
RUN /opt/venv/bin/python -m compileall -q /srv/crucible/app /srv/crucible/sandbox_runner

WORKDIR /srv/crucible
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/srv/crucible \
    PYTHONUNBUFFERED=1 \
    CRUCIBLE_HOST=0.0.0.0 \
    CRUCIBLE_DATA=/data

# Not root. The Engine's socket is opened through its group, which is given at the start (compose.yaml: group_add).
USER 10001:10001
VOLUME /data
EXPOSE 8700
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8700/healthz', timeout=4).read()"]
STOPSIGNAL SIGTERM
CMD ["crucible", "serve"]
