# Stands in for restatedev/restate: the same entry point, and curl for health checks.
ARG BASE
FROM ${BASE}
COPY restate-server /usr/local/bin/restate-server
WORKDIR /
ENTRYPOINT ["/usr/local/bin/restate-server"]
