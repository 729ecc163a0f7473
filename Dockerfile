# Berth as a container. It speaks to a Docker Engine through its socket and needs nothing else of the host:
# no --privileged, no added capability. What that socket means: docs/docker.md.
#
#   npm ci --omit=dev --ignore-scripts && docker build -t berth .
#
# Node.js comes with the modules (node_modules/node-linux-*), so the build reaches no network; the base needs a C library,
# libstdc++ and util-linux, as every Debian has them. Sandbox images are made from the same files.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
WORKDIR /berth
COPY package.json package-lock.json ./
COPY node_modules node_modules
COPY node-versions node-versions
COPY bin bin
COPY scripts scripts
COPY src src
ENV BERTH_DATA_DIR=/data \
    BERTH_DRIVER=docker \
    HOST=0.0.0.0 \
    PATH=/berth/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
VOLUME /data
EXPOSE 8787
ENTRYPOINT ["/berth/node_modules/.bin/node", "/berth/src/supervisor/main.ts"]
