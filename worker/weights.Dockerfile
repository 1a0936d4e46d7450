# One model's weights and nothing else, for deploy/components/weights-image. Built by images.sh --weights-only MODEL, from the
# worker's image, which has the program that fetches them.
ARG WORKER_IMAGE=msaas-worker:0.1.0

FROM ${WORKER_IMAGE} AS fetch
ARG WEIGHTS=htdemucs
COPY models /models-of-the-source
RUN MSAAS_MODEL_REPO=/models-of-the-source msaas models fetch "$WEIGHTS" --into /scratch/weights

FROM scratch
LABEL org.opencontainers.image.title="msaas-weights"
COPY --from=fetch /scratch/weights /
