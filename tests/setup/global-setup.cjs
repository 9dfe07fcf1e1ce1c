/**
 * One real Postgres and, where one can be had, one real Redis for the whole run. Their addresses reach the suites by the
 * environment; what is set already is used as it stands. Both end with this process, however that ends.
 */
const { startPostgres, startRedis } = require('../../packages/embedded/src/index.ts');

const quiet = { error: console.error, warn: console.warn, info: () => {}, debug: () => {}, child: () => quiet };

module.exports = async () => {
  const servers = [];
  globalThis.candlewireTestServers = servers;
  const { env } = process;
  if (!env.CANDLEWIRE_TEST_DATABASE_URL) {
    const postgres = await startPostgres({ dataDir: null, logger: quiet });
    servers.push(postgres);
    env.CANDLEWIRE_TEST_DATABASE_URL = postgres.url;
  }
  if (!env.CANDLEWIRE_TEST_REDIS_URL) {
    const redis = await startRedis({ dataDir: null, download: env.CANDLEWIRE_NO_DOWNLOAD !== '1', logger: quiet });
    if ('missing' in redis) {
      if (env.REQUIRE_REAL_SERVICES === '1') throw new Error(`REQUIRE_REAL_SERVICES=1, but ${redis.missing}`);
      env.CANDLEWIRE_TEST_NO_REDIS = redis.missing;
      console.warn(`\nNo Redis: suites that need one are skipped by name (${redis.missing}).`);
    } else {
      servers.push(redis);
      env.CANDLEWIRE_TEST_REDIS_URL = redis.url;
    }
  }
};
