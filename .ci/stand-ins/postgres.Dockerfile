# Stands in for postgres: the same variables, and a database that is made at the first start.
ARG BASE
FROM ${BASE}
RUN (id postgres || useradd --system postgres) && install -d -o postgres /var/lib/postgresql/data
COPY pg /usr/local/pgsql
COPY stand-ins/postgres-entrypoint /usr/local/bin/docker-entrypoint.sh
COPY stand-ins/pg_isready /usr/local/bin/pg_isready
ENV PATH="/usr/local/pgsql/bin:${PATH}" PGDATA=/var/lib/postgresql/data
USER postgres
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
