# The gateway's image. `docker build -t constellation-ws .` makes what production runs (the last stage);
# `--target dev` adds what `skaffold dev` needs: sources that may be replaced while it runs.

# Pin it by digest in production builds. Any image with CPython 3.11 or newer, venv and pip will do.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# Dependencies first: they change less often than the sources. Wheels only, so nothing is compiled, and
# nothing is installed whose hash is not in the lock.
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python3 -m venv /app && \
    python3 -m venv /build/tools && \
    /build/tools/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt && \
    /app/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/runtime.txt
COPY pyproject.toml LICENSE ./
COPY service service
COPY tools/build_hook.py tools/
RUN /build/tools/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . && \
    /app/bin/python -m pip install --no-deps --no-index --find-links dist constellation-ws && \
    /app/bin/python -c "import constellation_ws.runtime._sending" && \
    /app/bin/python -m pip uninstall --yes setuptools pip && \
    /build/tools/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
        --output-file sbom.cdx.json /app/bin/python

FROM ${BASE_IMAGE} AS runtime
# What the base image brings for installing has no place beside a running service.
RUN find /usr \( -path '*/python3*/pip' -o -path '*/python3*/pip-*' -o -path '*/python3*/ensurepip' \
        -o -path '*/bin/pip' -o -path '*/bin/pip3*' -o -path '*/share/python-wheels' \) -prune -exec rm -rf {} +
COPY --from=build /app /app
# What is in /app, for scanners and for whoever asks; `make sbom` writes the same.
COPY --from=build /build/sbom.cdx.json /usr/share/doc/constellation-ws/sbom.cdx.json
# The root filesystem may be read-only; bytecode was written when the image was built.
# A container's network decides who reaches the TCP port; elsewhere it is for this machine only.
ENV PATH=/app/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 TCP_HOST=::
# A number, so that Kubernetes can tell that it is not root without reading the image's /etc/passwd.
USER 10001:10001
WORKDIR /app
EXPOSE 7000 7756
# Exec form: the gateway is process 1 and gets SIGTERM itself. No HEALTHCHECK: Kubernetes has probes.
ENTRYPOINT ["constellation-ws"]
CMD ["serve"]

FROM runtime AS dev
# `dev` restarts the gateway when a file under /src changes. REDIS_HOST or REDIS_URL must be set: the
# embedded Valkey is no part of the image.
COPY --chown=10001:10001 service /src/service
ENV PYTHONPATH=/src/service CONSTELLATION_WS_HOST=:: TCP_HOST=::
CMD ["dev"]

FROM runtime AS production
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=https://github.com/constellation-ws/constellation-ws
LABEL org.opencontainers.image.title="constellation-ws" \
      org.opencontainers.image.description="A Socket.IO gateway: events published on Redis reach the right browsers, from any number of pods." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
