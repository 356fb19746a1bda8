# Stands in for distroless/cc: Debian 12's C library and certificates, and the same user.
ARG BASE
FROM ${BASE}
RUN useradd --uid 65532 --home-dir /home/nonroot --create-home nonroot
USER 65532
