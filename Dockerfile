# One image for every process of the mesh: `python -m edge`, `python -m auth_svc`, `python -m mesh migrate`, …
# It needs no root, no writable disk but /tmp, and no tools: a base without a shell does as well (PYTHON_IMAGE).
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1
WORKDIR /src
COPY locks/uv.txt locks/build.txt locks/core.txt locks/
RUN python3 -m venv /build && \
    /build/bin/pip install --no-cache-dir --require-hashes -r locks/uv.txt -r locks/build.txt && \
    python3 -m venv --without-pip /app && \
    /build/bin/uv pip sync --python /app/bin/python --require-hashes locks/core.txt
COPY . .
RUN /build/bin/uv build --wheel --no-build-isolation --python /build/bin/python --out-dir /wheels && \
    /build/bin/uv pip install --python /app/bin/python --no-deps --no-index --find-links /wheels chatmesh

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="chatmesh" \
      org.opencontainers.image.description="The backend of a SaaS chat product: four gRPC services behind a REST edge"
# Nothing is imported from the working directory, which is writable.
ENV PATH=/app/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
COPY --from=build /app /app
WORKDIR /tmp
USER 65532:65532
EXPOSE 4000 3001 3002 3003 3004 9001 9002 9003 9004
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-m", "mesh.health"]
ENTRYPOINT ["python"]
CMD ["-m", "edge"]
