# Stands in for apache/kafka: the same user, folders, variables and entry point.
ARG BASE
FROM ${BASE}
RUN useradd --home-dir /home/appuser --create-home appuser \
 && install -d -o appuser /opt/kafka/config /var/lib/kafka/data /mnt/shared/config /etc/kafka/docker
COPY libs /opt/kafka/libs
COPY stand-ins/kafka-run /etc/kafka/docker/run
COPY stand-ins/kafka-log4j2.yaml /etc/kafka/docker/log4j2.yaml
RUN cp /etc/kafka/docker/log4j2.yaml /etc/kafka/docker/tools-log4j2.yaml \
 && echo process.roles=broker,controller > /etc/kafka/docker/server.properties
USER appuser
VOLUME /var/lib/kafka/data
CMD ["/etc/kafka/docker/run"]
