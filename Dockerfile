# docker build -t pillarbox . && docker run -p 5672:5672 -v pillarbox-data:/data pillarbox
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/pillarbox \
 && /opt/pillarbox/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && /opt/pillarbox/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/pillarbox/bin/pip uninstall --yes setuptools wheel \
 # Nobody else has these names in here, and health checks written for RabbitMQ's image call them.
 && /opt/pillarbox/bin/pillarbox install-shims /opt/pillarbox/bin

FROM python:3.11-slim
RUN useradd --system --uid 5672 --home-dir /data --shell /usr/sbin/nologin pillarbox \
 && install --directory --owner=pillarbox --group=pillarbox --mode=0750 /data
COPY --from=build /opt/pillarbox /opt/pillarbox
ENV PATH=/opt/pillarbox/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PILLARBOX_DATA=/data \
    PILLARBOX_HOST=0.0.0.0 \
    # Inside a container nobody is local, so that guest could never log in; RabbitMQ's image does the same.
    PILLARBOX_LOOPBACK_USERS=none
USER pillarbox
VOLUME /data
EXPOSE 5672 5671
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s --retries=3 CMD ["pillarbox", "ping"]
ENTRYPOINT ["pillarbox"]
CMD ["serve"]
