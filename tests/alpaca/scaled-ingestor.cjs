/**
 * The ingestor as it was built, as a process, with SOURCE=alpaca; but its clock is a market's that runs SPEED times as fast as the
 * wall clock since it stood at MARKET_MS when that one stood at WALL_MS. Whoever pauses waits as much shorter.
 */
const { connectBus } = require('../../packages/bus/dist');
const { channelsOf } = require('../../packages/contracts/dist');
const { createLogger, loadCalendar, pause, runMain } = require('../../packages/runtime/dist');
const { connectStore, migrate } = require('../../packages/store/dist');
const { createIngestor } = require('../../services/ingestor/dist/ingestor');
const { createAlpacaSource } = require('../../services/ingestor/dist/sources/alpaca/alpaca-source');
const { createSymbolSet } = require('../../services/ingestor/dist/symbols');

const { env } = process;
const PAUSE_MIN_MS = 10;
const speed = Number(env.SPEED);
const now = () => Math.floor(Number(env.MARKET_MS) + (Date.now() - Number(env.WALL_MS)) * speed);
const time = {
  now,
  elapsedMs: now,
  pause: (ms, signal) => pause(Math.max(PAUSE_MIN_MS, ms / speed), signal),
};
const logger = createLogger('ingestor', 'info');

void runMain(
  () => logger,
  async () => {
    const { DATABASE_URL: databaseUrl, REDIS_URL: url, REDIS_PREFIX: prefix } = env;
    const calendar = loadCalendar('nyse');
    const bus = connectBus({ url, prefix, logger });
    const store = connectStore({ url: databaseUrl, logger });
    const deps = { bus, store, time, logger };
    const wanted = env.SYMBOLS.split(',');
    const symbols = createSymbolSet({ ...deps, channel: channelsOf(prefix).symbols, wanted, defaults: [] });
    const source = createAlpacaSource({
      settings: JSON.parse(env.SETTINGS),
      timings: JSON.parse(env.TIMINGS),
      calendar,
      symbols: symbols.current,
      time,
      logger,
    });
    const ingestor = createIngestor({
      ...deps,
      source,
      symbols,
      fill: { store, databaseUrl, calendar, historyDays: 1, maxPerMin: Number.POSITIVE_INFINITY },
      rebuilds: store,
      migrate: () => migrate(databaseUrl),
      prefix,
      leaseMs: Number(env.INGESTOR_LEASE_MS),
    });
    const stopping = new AbortController();
    const done = ingestor.run(stopping.signal);
    return {
      done,
      shutdown: [
        {
          name: 'stop the source',
          run: async () => {
            stopping.abort();
            await done.catch(() => {});
          },
        },
        {
          name: 'close',
          run: async () => {
            await Promise.all([bus.close(), store.close()]);
          },
        },
      ],
    };
  },
);
