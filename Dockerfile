# mq without a network at run time: docker build -t mq . && docker run --rm --network none -v "$PWD:/data" --user "$(id -u):$(id -g)" mq build build.yaml
# Stage 1 compiles and keeps what the package ships; stage 2 has Node, the package and llama.cpp for the processor.
FROM node:22-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
# npm pack takes what `files` of package.json lists, as for the package itself, and builds types, whatever scripts it is to ignore.
RUN npm run build && mkdir -p /out /tmp/package && npm pack --pack-destination /tmp/package \
 && npm prune --omit=dev --ignore-scripts \
 && tar -xzf /tmp/package/*.tgz -C /out --strip-components 1 && mv node_modules /out/

FROM node:22-bookworm-slim
# OpenMP, which llama.cpp's processor backend uses; npm and yarn are of no use at run time.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && rm -rf /usr/local/lib/node_modules /opt/yarn* /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn*
COPY --from=build /out /opt/mq
RUN ln -s /opt/mq/bin/run.js /usr/local/bin/mq && mkdir -p /data /cache && chown node:node /data /cache && chmod 1777 /cache
ENV NODE_ENV=production MQ_CACHE=/cache/mq HF_HOME=/cache/huggingface HF_HUB_OFFLINE=1
USER node
WORKDIR /data
ENTRYPOINT ["mq"]
CMD ["--help"]
