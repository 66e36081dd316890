# The image of the edge. Build it from the root of the checkout:
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" -t splicer .
#
# PYTHON may have a digest (3.13-slim-bookworm@sha256:...), which pins the base image as the locks in .ci/ pin the rest.
# SOURCE_DATE_EPOCH, with the exporter's rewrite-timestamp=true, makes two builds of one revision the same image.
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    ZIG_GLOBAL_CACHE_DIR=/tmp/zig
WORKDIR /build
COPY .ci/build.lock .ci/runtime.lock .ci/
# Only wheels, each with its hash: no package is built from source. The C compiler for splicer's own extension is one of
# them, ziglang, which stays in this stage.
RUN pip install --require-hashes --only-binary=:all: -r .ci/build.lock \
    && python -m venv --without-pip /opt/splicer \
    && pip --python /opt/splicer/bin/python install --no-compile --require-hashes --only-binary=:all: -r .ci/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY .ci/build_extension.py .ci/
COPY splicer splicer
ARG SOURCE_DATE_EPOCH=1580601600
# A target: without one, zig compiles for the builder's own processor, and the image would not run on an older one.
# Byte code that is never compared with its source: the tree never changes, and builders may change file times.
RUN SPLICER_NATIVE=1 CC="python -m ziglang cc -target $(uname -m)-linux-gnu.2.17" \
       pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
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
# In a pod an emptyDir is mounted over this directory; elsewhere the vault's socket is in it.
RUN pip uninstall --yes --quiet --root-user-action=ignore pip \
    && install --directory --owner=65532 --group=65532 --mode=0700 /run/splicer
COPY --from=builder /opt/splicer /opt/splicer
# In a cluster a ConfigMap replaces it. `splicer status` and the like find it in the working directory.
COPY --chmod=0644 deploy/base/routing.toml /etc/splicer/
WORKDIR /etc/splicer
ENV PATH=/opt/splicer/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
# The ports for calls, and for metrics if `[server] metrics` names it.
EXPOSE 8080 9902
STOPSIGNAL SIGTERM
ENTRYPOINT ["splicer"]
CMD ["run", "-c", "/etc/splicer/routing.toml"]
