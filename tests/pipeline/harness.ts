import { type Bus, connectBus } from '@candlewire/bus';
import {
  type Channels,
  channelsOf,
  decodeEntry,
  encodeEntry,
  FeedStatus,
  PARTITIONS,
  partitionOf,
} from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type Store } from '@candlewire/store';
import { bar, type SpawnedService, spawnService, testDatabase, testRedis, waitFor } from '@candlewire/testkit';
import { Redis } from 'ioredis';
import { Pool } from 'pg';
import { Follower } from './follower';
import { headsOf } from './heads';

/** Generous: the machine may be busy with other suites. */
export const PATIENCE_MS = 60_000;
const LINES_SHOWN = 5;

/** Symbols of markers begin so; whoever compares candles leaves them out. */
const MARKER = 'ZZMARK';
/** So many entries behind a stored position are looked at. Where all bars are stored there are fewer: clocks, at most 256. */
const BEHIND_ENTRIES_MAX = 1_000;
const NOT_MARKERS = `symbol not like '${MARKER}%'`;

export interface Servers {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly prefix: string;
}

/** The services as processes on a store and a bus, and what a test looks at them with. */
export interface Pipeline extends Servers {
  readonly store: Store;
  readonly bus: Bus;
  readonly channels: Channels;
  sql<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Runs a service; `env` may lead it elsewhere than to the servers. It does not outlive the pipeline. */
  spawn(name: 'ingestor' | 'aggregator' | 'gateway', env?: Readonly<Record<string, string>>): SpawnedService;
  replay(file: string, env?: Readonly<Record<string, string>>): SpawnedService;
  /** Address of a new gateway. */
  gateway(): Promise<string>;
  /** What is published of candles from now on. */
  follow(): Promise<Follower>;
  /** How many commits the store holds. */
  commits(): Promise<number>;
  /** Waits until the store holds `count` commits more than at the moment of the call. */
  moreCommits(count: number): Promise<void>;
  /** Bars that were ever appended to the journals as they are now. */
  barsAppended(): Promise<number>;
  /** Lets every lease run out at once, as if the time had passed. */
  endLeases(): Promise<void>;
  /** Whether a replay has played the whole file of `deliveries` bars to the journals as they are now, and all candles are final. */
  isPlayed(deliveries: number): Promise<boolean>;
  /** Waits for that, and ends the ingestor. */
  played(ingestor: SpawnedService, deliveries: number): Promise<void>;
  /** Waits until everything that was appended to the journals before the call is stored, and whoever follows has heard of it. */
  consumed(): Promise<void>;
  /** Lines that services have logged as errors: nothing that a test does to them is one. */
  errors(): string[];
  /** All columns of all candles but seq and revision, a line each, in order of the key. */
  candles(): Promise<string[]>;
  close(): Promise<void>;
}

/** A pipeline on `servers`, or on a database and a Redis prefix of its own. No service runs yet. */
export async function createPipeline(servers?: Servers): Promise<Pipeline> {
  const release: (() => Promise<unknown>)[] = [];
  const used = servers ?? (await ownServers(release));
  const { databaseUrl, redisUrl, prefix } = used;
  await migrate(databaseUrl);
  const pool = new Pool({ connectionString: databaseUrl, max: 4 });
  // A server that a test kills takes idle connections with it.
  pool.on('error', () => {});
  const store = connectStore({ url: databaseUrl, logger: silentLogger, poolMax: 2 });
  const bus = connectBus({ url: redisUrl, prefix, logger: silentLogger });
  const channels = channelsOf(prefix);
  // For looking at streams: the journal's own read is the owner's, and gives a journal a new id where it finds less than it knows.
  const redis = new Redis(redisUrl);
  redis.on('error', () => {});
  release.push(
    async () => redis.disconnect(),
    () => pool.end(),
    () => store.close(),
    () => bus.close(),
  );
  await waitFor(() => bus.ping(), { timeoutMs: PATIENCE_MS, what: 'the bus is there' });
  const services: SpawnedService[] = [];
  const followers: Follower[] = [];
  let markers = 0;

  const sql: Pipeline['sql'] = async <Row extends object>(text: string, values: readonly unknown[] = []) =>
    (await pool.query<Row>(text, [...values])).rows;

  const spawn: Pipeline['spawn'] = (name, env = {}) => {
    const service = spawnService(name, {
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      REDIS_PREFIX: prefix,
      LOG_LEVEL: 'info',
      // Who kills an ingestor and starts the next one does not want to wait for the whole of it.
      INGESTOR_LEASE_MS: '3000',
      ...env,
    });
    services.push(service);
    return service;
  };

  async function commits(): Promise<number> {
    const [row] = await sql<{ count: string }>('select sum(commit_no) as count from partitions');
    return Number(row!.count);
  }

  async function barsAppended(): Promise<number> {
    const newest = Array.from({ length: PARTITIONS }, (_, p) =>
      redis.xrevrange(channels.journal(p), '+', '-', 'COUNT', 1),
    );
    return (await Promise.all(newest)).reduce((sum, [entry]) => sum + Number(entry ? fieldOf(entry, 'n') : 0), 0);
  }

  /** Whether no bar of the journals lies behind the positions in the store. */
  async function areBarsStored(): Promise<boolean> {
    const journals = await bus.journal.open(PARTITIONS);
    const positions = await sql<{ p: number; journal_id: string | null; entry: string }>(
      'select p, journal_id, entry from partitions order by p',
    );
    const behind = journals.map(async ({ id }, p) => {
      const position = positions[p];
      const last = position?.journal_id === id ? Number(position.entry) : 0;
      const entries = await redis.xrange(channels.journal(p), `${last + 1}`, '+', 'COUNT', BEHIND_ENTRIES_MAX);
      return entries.some((entry) => decodeEntry(fieldOf(entry, 'e')).entry.bars.length > 0);
    });
    return !(await Promise.all(behind)).includes(true);
  }

  async function isPlayed(deliveries: number): Promise<boolean> {
    const text = await bus.kept(channels.feedStatus);
    if (text === null || FeedStatus.parse(JSON.parse(text)).state !== 'finished') return false;
    if ((await barsAppended()) < deliveries || !(await areBarsStored())) return false;
    return (await sql(`select 1 from candles where not final and ${NOT_MARKERS} limit 1`)).length === 0;
  }

  return {
    ...used,
    store,
    bus,
    channels,
    sql,
    spawn,
    replay: (file, env = {}) => spawn('ingestor', { SOURCE: 'replay', REPLAY_FILE: file, REPLAY_SPEED: 'max', ...env }),

    async gateway() {
      const service = spawn('gateway', { PORT: '0' });
      await service.up(({ stderr }) => stderr.includes('"listening"'));
      const line = service.stderr.split('\n').find((text) => text.includes('"listening"'))!;
      return `http://127.0.0.1:${(JSON.parse(line) as { port: number }).port}`;
    },

    async follow() {
      const follower = await Follower.start(redisUrl, prefix);
      followers.push(follower);
      release.push(() => follower.close());
      return follower;
    },

    commits,
    barsAppended,
    async moreCommits(count) {
      // Postgres may have been killed a moment ago: the first answer is waited for as well.
      const options = { timeoutMs: PATIENCE_MS, what: `${count} more commits` };
      const from = await waitFor(async () => ({ commits: await commits() }), options);
      await waitFor(async () => (await commits()) >= from.commits + count, options);
    },

    async endLeases() {
      await sql('delete from owners');
      await sql('update partitions set lease_until = clock_timestamp() where owner is not null');
    },

    isPlayed,
    async played(ingestor, deliveries) {
      const what = 'the replay is finished and every candle is final';
      await waitFor(() => isPlayed(deliveries), { timeoutMs: PATIENCE_MS, what });
      await ingestor.stop();
    },

    async consumed() {
      markers++;
      const journals = await bus.journal.open(PARTITIONS);
      const marks = journals.map((known, partition) => {
        const text = encodeEntry({ clock: null, bars: [bar({ symbol: markerOf(partition), close: markers })] });
        return { partition, known, text, bars: 1 };
      });
      await bus.journal.append(null, marks);
      const arrived = `select 1 from candles where symbol like '${MARKER}%' and interval = '1m' and close = $1`;
      await waitFor(async () => (await sql(arrived, [markers])).length === PARTITIONS, {
        timeoutMs: PATIENCE_MS,
        what: `marker ${markers} at the end of each journal is stored`,
      });
      const heads = (await headsOf(store)).filter(({ symbol }) => symbol.startsWith(MARKER));
      const heard = (follower: Follower) =>
        heads.every(({ symbol, interval, seq }) => follower.lastOf(symbol, interval) >= seq);
      await waitFor(() => followers.every(heard), { timeoutMs: PATIENCE_MS, what: `marker ${markers} is published` });
    },

    errors: () =>
      services.flatMap(({ stderr }) => stderr.split('\n').filter((line) => line.includes('"level":"error"'))),

    async candles() {
      const rows = await sql<{ line: string }>(`
        select (to_jsonb(c) - '{seq,revision}'::text[])::text as line from candles c
        where ${NOT_MARKERS} order by symbol, interval, ts`);
      return rows.map(({ line }) => line);
    },

    async close() {
      for (const service of services) service.kill('SIGKILL');
      await Promise.all(services.map(({ exited }) => exited));
      for (const act of release.reverse()) await act();
    },
  };
}

async function ownServers(release: (() => Promise<unknown>)[]): Promise<Servers> {
  const database = await testDatabase();
  release.push(() => database.drop());
  const redis = (await testRedis())!;
  release.push(() => redis.close());
  return { databaseUrl: database.url, redisUrl: redis.url, prefix: redis.prefix };
}

/** Of an entry in a journal's stream: `n`, bars up to its end, or `e`, its text. */
function fieldOf([, fields]: [id: string, fields: string[]], name: 'n' | 'e'): string {
  return fields[fields.indexOf(name) + 1]!;
}

/** A symbol of the partition that no file holds. */
function markerOf(partition: number): string {
  for (let n = 0; ; n++) if (partitionOf(`${MARKER}${n}`) === partition) return `${MARKER}${n}`;
}

/** Whether a service has logged `event`; `where` looks at the other fields of the line. */
export function logged(
  service: SpawnedService,
  event: string,
  where: (fields: Readonly<Record<string, unknown>>) => boolean = () => true,
): boolean {
  return service.stderr.split('\n').some((line) => {
    if (!line.includes(event) || !line.endsWith('}')) return false;
    const fields = JSON.parse(line) as Record<string, unknown>;
    return fields.message === event && where(fields);
  });
}

/** The first lines that differ, since nobody reads a diff of 25,000. */
export function expectSameLines(actual: readonly string[], expected: readonly string[]): void {
  const differing = expected.flatMap((line, i) => (line === actual[i] ? [] : [{ expected: line, actual: actual[i] }]));
  expect(differing.slice(0, LINES_SHOWN)).toEqual([]);
  expect(actual.length).toBe(expected.length);
}

/** SIGKILL, and the end of the process. */
export async function killed(service: SpawnedService): Promise<void> {
  service.kill('SIGKILL');
  await service.exited;
}

interface SeriesCount {
  readonly series: string;
  readonly seq: number;
  readonly changes: number;
  readonly newest: number;
}

/**
 * Each change is counted by exactly one seq of its series and one revision of its candle: so the revisions of a series
 * add up to its seq, which is that of the candle that changed last. What was counted twice, or left out, breaks this.
 */
export async function expectDense(pipeline: Pipeline): Promise<void> {
  const counts = await pipeline.sql<SeriesCount>(`
    select s.symbol || ' ' || s.interval as series, s.seq::float8 as seq,
      sum(c.revision)::float8 as changes, max(c.seq)::float8 as newest
    from series s join candles c using (symbol, interval)
    group by s.symbol, s.interval`);
  expect(counts.length).toBeGreaterThan(0);
  expect(counts.filter(({ seq, changes, newest }) => changes !== seq || newest !== seq)).toEqual([]);
}
