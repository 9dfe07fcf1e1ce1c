# One file, an image for each service: docker build --target gateway .
# Debian and not Alpine: nothing here is tested on musl.
FROM node:22-bookworm-slim AS build
WORKDIR /app
RUN npm install --global pnpm@10.34.9
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml tsconfig.base.json ./
COPY packages packages
COPY services services
COPY bench bench
# Without the optional packages: a Postgres of its own has no place in an image.
RUN pnpm install --frozen-lockfile --no-optional
RUN node node_modules/typescript/bin/tsc -b services/ingestor services/aggregator services/gateway
RUN for service in ingestor aggregator gateway; do \
      pnpm --filter "@candlewire/$service" deploy --legacy --prod --no-optional "/out/$service" || exit 1; \
    done

FROM node:22-bookworm-slim AS runtime
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
# All that is copied below stays root's: a service cannot change its own code.
USER node
CMD ["node", "dist/main.js"]

FROM runtime AS ingestor
COPY --from=build /out/ingestor ./
HEALTHCHECK --interval=10s --timeout=8s --start-period=60s --retries=3 CMD ["node", "dist/health-main.js"]

FROM runtime AS aggregator
COPY --from=build /out/aggregator ./
HEALTHCHECK --interval=10s --timeout=8s --start-period=60s --retries=3 CMD ["node", "dist/health-main.js"]

FROM runtime AS gateway
COPY --from=build /out/gateway ./
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 8000) + '/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
