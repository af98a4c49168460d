# The server. Envoy runs from its own image; see docker-compose.yml.
FROM python:3.12-slim AS build
WORKDIR /src
# Without pip: nothing in the image can install anything into it later.
RUN python -m venv --without-pip /opt/genai
COPY requirements.lock ./
RUN pip --python /opt/genai/bin/python install --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE envoy.yaml ./
COPY genai_spine ./genai_spine
RUN pip --python /opt/genai/bin/python install --disable-pip-version-check --no-deps .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/genai --create-home genai
COPY --from=build /opt/genai /opt/genai
ENV PATH=/opt/genai/bin:$PATH PYTHONUNBUFFERED=1
USER genai
# Where GENAI_SQLITE_PATH is relative to, when no GENAI_DATABASE_URL is set.
WORKDIR /var/lib/genai
EXPOSE 50051
HEALTHCHECK --interval=30s --timeout=10s --retries=3 --start-period=60s \
  CMD ["genai-spine", "health", "--address", "127.0.0.1:50051"]
# SIGTERM reaches the server itself, which drains; it starts no processes that an init would have to reap.
ENTRYPOINT ["genai-spine"]
CMD ["serve", "--port", "50051"]
