# PyTorch's default wheels:   docker build -t harness .
# another wheel index (CPU-only, or another CUDA release; PyTorch's own site lists them):
#                             docker build -t harness --build-arg TORCH_INDEX=<index URL> .
# a smoke test:               docker run --rm -v "$PWD/runs:/sweeps/runs" harness sweep experiments/smoke.yaml
# the commit in every record:  docker build -t harness --build-arg COMMIT=$(git rev-parse HEAD) .
# the MLflow UI:                docker run --rm -p 5000:5000 -v "$PWD/runs:/sweeps/runs" harness ui --host 0.0.0.0
FROM python:3.11-slim

ARG TORCH_INDEX=

RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/harness
COPY constraints.txt ./
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
        "$(grep '^torch==' constraints.txt)" "$(grep '^torchvision==' constraints.txt)"
COPY pyproject.toml README.md LICENSE ./
COPY harness ./harness
COPY baselines ./baselines
RUN pip install --no-cache-dir -c constraints.txt .
COPY experiments ./experiments

ARG COMMIT=
ENV HARNESS_COMMIT=${COMMIT}

WORKDIR /sweeps
RUN ln -s /opt/harness/experiments experiments
VOLUME /sweeps/runs
EXPOSE 5000
ENTRYPOINT ["harness"]
CMD ["--help"]
