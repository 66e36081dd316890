# The edge as the pod runs it. From the root of the checkout:
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" -t splicer .
#
# PYTHON may carry a digest (3.13-slim-bookworm@sha256:...): it pins the base as the locks in .ci/ pin all the rest.
# SOURCE_DATE_EPOCH, with the exporter's rewrite-timestamp=true, makes two builds of one revision the same image.
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY .ci/build.lock .ci/runtime.lock .ci/
# Wheels alone, each with its hash: nothing here runs a package's own build, so no compiler is wanted.
RUN pip install --require-hashes --only-binary=:all: -r .ci/build.lock \
    && python -m venv --without-pip /opt/splicer \
    && pip --python /opt/splicer/bin/python install --no-compile --require-hashes --only-binary=:all: -r .ci/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY splicer splicer
ARG SOURCE_DATE_EPOCH=1580601600
# Byte code that never looks at its source: right for a tree that never changes, whatever a builder does to file times.
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/splicer/bin/python install --no-compile --no-deps --no-index dist/*.whl \
    && /opt/splicer/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/splicer/lib \
    && find /opt/splicer -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM python:${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="splicer" \
      org.opencontainers.image.description="An edge proxy for voice platforms: the pod's name comes out of the URL, the call's bytes go through splice(2)." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# A pod mounts an emptyDir here, which hides this one; without a pod the vault's socket has a place all the same.
RUN pip uninstall --yes --quiet --root-user-action=ignore pip \
    && install --directory --owner=65532 --group=65532 --mode=0700 /run/splicer
COPY --from=builder /opt/splicer /opt/splicer
# A ConfigMap takes its place. `splicer status` and the like find it by the working directory.
COPY --chmod=0644 deploy/base/routing.toml /etc/splicer/
WORKDIR /etc/splicer
ENV PATH=/opt/splicer/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
# The calls, and the scraper's metrics where `[server] metrics` names this port.
EXPOSE 8080 9902
STOPSIGNAL SIGTERM
ENTRYPOINT ["splicer"]
CMD ["run", "-c", "/etc/splicer/routing.toml"]
