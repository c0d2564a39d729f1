# One image for every process of Psephos, and one (`local`) with the development chain and sign-in provider.

FROM node:20.19.5-bookworm-slim AS node
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=optional

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements/base.txt /tmp/base.txt
RUN pip install --require-hashes -r /tmp/base.txt
WORKDIR /app
COPY . .
RUN pip install --no-deps --no-build-isolation -e . \
 && DJANGO_SETTINGS_MODULE=config.settings.build STATIC_ROOT=/app/staticfiles python manage.py collectstatic --noinput -v0 \
 && rm -rf deploy loadtest \
 && python -m compileall -q .

FROM python:3.11.14-slim-bookworm AS runtime
# libgomp: the prover. tini reaps what a killed prover leaves behind and passes signals on.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 tini && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 psephos && useradd --uid 10001 --gid psephos --no-create-home --shell /usr/sbin/nologin psephos
COPY --from=build /opt/venv /opt/venv
# The fallback prover and Semaphore's proving keys.
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /app/node_modules/@zk-kit/semaphore-artifacts /app/node_modules/@zk-kit/semaphore-artifacts
COPY --from=build /app /app
WORKDIR /app
# The root file system is read-only at run time: everything that is written goes to /tmp or a volume.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=config.settings.production \
    STATIC_ROOT=/app/staticfiles \
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics \
    ZK_WORK_DIR=/tmp/zk
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["granian", "--interface", "wsgi", "config.wsgi:application", "--host", "0.0.0.0", "--port", "8000", "--workers", "2"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "manage.py", "healthcheck", "--only", "postgresql", "--only", "redis"]

FROM node AS local
# The development profile: anvil and a certified OpenID provider; never for production.
RUN npm ci
COPY deploy/local/oidc deploy/local/oidc
USER node
CMD ["node", "deploy/local/oidc/provider.mjs"]
