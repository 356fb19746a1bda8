# The one program, `millstream`, which is every part of an installation: handlers, gateway, registry,
# guard, and the jobs. Needs BuildKit, which `docker build` uses by itself since Docker 23.
#
#     docker build --tag millstream .
#     docker build --tag millstream-loadtest --target loadtest .
#
# With programs that are built already, on Debian 12 or older, copied to target/prebuilt:
#
#     docker build --build-arg BINARIES=prebuilt --tag millstream .

ARG BINARIES=built

# Debian 12, as below: a program needs the C library that it was built with, or a newer one.
FROM rust:1.95.0-slim-bookworm AS built
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ make perl \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# TLS and SASL for Kafka are in: an image is for installations, and Kafka mostly has them there. It is
# OpenSSL, linked statically, so the image holds no library of it; perl is for its build.
ARG FEATURES=millstream-cli/tls-vendored
# What is compiled stays in BuildKit's caches, so a change of ours compiles ours alone.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package millstream-cli --package millstream-loadtest \
      --features "$FEATURES" \
 && install --strip -D --target-directory=/binaries target/release/millstream target/release/loadtest \
 # The same program makes the same layer, whenever it was built.
 && touch --date=@0 /binaries/*

FROM scratch AS prebuilt
COPY target/prebuilt/millstream target/prebuilt/loadtest /binaries/

FROM ${BINARIES} AS binaries

# No shell and no package manager: the C library, certificates, and a user without rights.
FROM gcr.io/distroless/cc-debian12:nonroot AS base
# A volume that is mounted at one of these for the first time belongs to that user.
WORKDIR /var/lib/millstream-crash-marks
WORKDIR /var/lib/millstream

FROM base AS loadtest
COPY --from=binaries /binaries/loadtest /usr/local/bin/loadtest
ENTRYPOINT ["/usr/local/bin/loadtest"]

FROM base AS millstream
COPY --from=binaries /binaries/millstream /usr/local/bin/millstream
# Handlers, gateway, and the metrics of both.
EXPOSE 9080 8087 8088 9464 9466
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 \
  CMD ["/usr/local/bin/millstream", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/millstream"]
CMD ["--help"]
