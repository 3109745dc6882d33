# syntax=docker/dockerfile:1
# The gateway as a container image: built from a lock file with hashes, run by a user without a name, on a read-only root.
#
#   docker build --tag stream-mesh .
#
# docs/how-to/run-in-containers.md goes on from here; examples/kubernetes has the manifests.

# A release pins it: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# For one small module of ours; every dependency comes as a wheel.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv /opt/mesh
# Dependencies first: a change of our code does not fetch them again.
COPY requirements-image.lock ./
RUN /opt/mesh/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: --requirement requirements-image.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY mesh ./mesh
COPY gateway ./gateway
COPY certs ./certs
RUN /opt/mesh/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/mesh/bin/python -P -c "from mesh.batch.native import IS_COMPILED; assert IS_COMPILED" \
    && /opt/mesh/bin/python -m pip uninstall --yes setuptools pip

FROM ${BASE}
LABEL org.opencontainers.image.title="Stream Mesh" \
      org.opencontainers.image.description="Companies share event streams with each other without sharing a cluster" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing is installed from here on.
RUN python -m pip uninstall --yes setuptools wheel pip \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/mesh
COPY --from=build /opt/mesh /opt/mesh
ENV PATH=/opt/mesh/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MESH_CONFIG=/var/lib/mesh/home/mesh.toml
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/mesh
# The only place that is written to, beside /tmp.
VOLUME ["/var/lib/mesh"]
# Peers, enrolment, health. The local API and the admin API are on loopback and stay there.
EXPOSE 7463 7464 7465
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 CMD ["mesh", "await", "--timeout", "5"]
ENTRYPOINT ["mesh"]
CMD ["gateway", "run"]
