# Stands in for prom/prometheus: Debian's, an older one.
ARG BASE
FROM ${BASE}
RUN install -d -o nobody /prometheus
USER nobody
WORKDIR /prometheus
EXPOSE 9090
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
