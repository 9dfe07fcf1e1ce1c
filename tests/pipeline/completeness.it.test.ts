import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { startAggregator } from '@candlewire/aggregator';
import { createInProcessBus } from '@candlewire/bus';
import {
  AllGapsResponse,
  BackfillResponse,
  type Bar,
  type Candle,
  channelsOf,
  encodeEntry,
  GapsResponse,
  MINUTE_MS,
  PARTITIONS,
  partitionOf,
} from '@candlewire/contracts';
import {
  createIngestor,
  type HistoryPage,
  HistoryRefused,
  type Ingestor,
  RateLimited,
  type Source,
} from '@candlewire/ingestor';
import { loadCalendar, pause, type Running, runPhases, silentLogger } from '@candlewire/runtime';
import { connectStore, migrate, type Store, type StoredHistory } from '@candlewire/store';
import { type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { Client } from 'pg';
import { createGateway, type Gateway } from '../../services/gateway/src/gateway';

const ROOT = join(__dirname, '../..');
const PATIENCE_MS = 60_000;
jest.setTimeout(3 * PATIENCE_MS);
const PAGE_MINUTES = 7;
const LIVE_MS = 200;
const calendar = loadCalendar('24x7');
const silent = async () => {};

/** What the source would say of a minute; every third one had no trade. */
function truth(symbol: string, openTime: number): Bar | null {
  const minute = openTime / MINUTE_MS;
  if (minute % 3 === 0) return null;
  const close = 100 + (minute % 50) + (symbol === 'AAPL' ? 0 : 500);
  return {
    symbol,
    openTime,
    open: close,
    high: close + 1,
    low: close - 1,
    close,
    volume: 10,
    tradeCount: 1,
    vwap: close,
    rev: 0,
  };
}

interface Request {
  readonly at: number;
  readonly symbol: string;
  readonly from: number;
  /** null: it failed. */
  answeredTo: number | null;
}

/** A source with small pages, whose requests can be made to fail. */
function scriptedSource(symbols: readonly string[]) {
  const requests: Request[] = [];
  const script = {
    pageMinutes: PAGE_MINUTES,
    fault: (_n: number, _symbol: string): Error | null => null,
    delay: silent as () => Promise<void>,
  };
  const source: Source = {
    kind: 'simulator',
    calendar: '24x7',
    refused: {},
    settledAfterMs: 0,
    delivers: () => symbols,
    async *live(signal) {
      yield { clock: Date.now(), bars: [], state: 'live' };
      while (!signal.aborted) {
        await pause(LIVE_MS, signal);
        yield { clock: Date.now(), bars: [] };
      }
    },
    async *history(symbol, from, to): AsyncGenerator<HistoryPage> {
      for (let at = from; at < to; ) {
        const request: Request = { at: Date.now(), symbol, from: at, answeredTo: null };
        requests.push(request);
        await script.delay();
        const fault = script.fault(requests.length, symbol);
        if (fault !== null) throw fault;
        const over = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
        const end = Math.min(at + script.pageMinutes * MINUTE_MS, to, over);
        if (end <= at) return;
        const bars: Bar[] = [];
        for (let openTime = at; openTime < end; openTime += MINUTE_MS) {
          const bar = truth(symbol, openTime);
          if (bar !== null) bars.push(bar);
        }
        request.answeredTo = end;
        yield { bars, answeredTo: end };
        at = end;
      }
    },
  };
  return { source, requests, script };
}

let database: TestDatabase;
let store: Store;
let hub: ReturnType<typeof createInProcessBus>;
let aggregator: Running;
let gateway: Gateway;
let origin: string;
const ingestors: { ingestor: Ingestor; stop(): Promise<void> }[] = [];
const children: ChildProcess[] = [];
const now = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
const ago = (minutes: number) => now - minutes * MINUTE_MS;

beforeEach(async () => {
  database = await testDatabase();
  await migrate(database.url);
  store = connectStore({ url: database.url, logger: silentLogger });
  await store.declare({ source: 'simulator', calendar: '24x7', partitions: PARTITIONS });
  hub = createInProcessBus({ logger: silentLogger });
  aggregator = await startAggregator({ DATABASE_URL: database.url }, silentLogger, { bus: hub.connect() });
  gateway = createGateway({
    store,
    bus: hub.connect(),
    channels: channelsOf(),
    calendars: { nyse: loadCalendar('nyse'), '24x7': calendar },
    corsOrigins: '*',
    logger: silentLogger,
  });
  origin = `http://127.0.0.1:${await gateway.start(0, '127.0.0.1')}`;
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await Promise.all(ingestors.splice(0).map(({ stop }) => stop()));
  await runPhases(gateway.shutdown, silentLogger);
  await runPhases(aggregator.shutdown, silentLogger);
  await store.close();
  await database.drop();
});

function ingest(source: Source, symbols: readonly string[]): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const ingestor = createIngestor({
    source,
    bus: hub.connect(),
    store,
    migrate: async () => {},
    prefix: 'md:v1',
    logger: silentLogger,
    symbols: { current: () => symbols, begin: silent, follow: (_, signal) => untilAborted(signal) },
    fill: { store, databaseUrl: database.url, calendar, historyDays: 0, maxPerMin: Number.POSITIVE_INFINITY },
  });
  const done = ingestor.run(stopping.signal);
  const running = {
    ingestor,
    async stop() {
      stopping.abort();
      await done;
    },
  };
  ingestors.push(running);
  return running;
}

const untilAborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

/** As an ingestor left it that was live until `minutes` ago: all before it is complete. */
async function completeUntil(
  minutes: number,
  symbols: readonly string[],
  { from = ago(minutes + 60), also = [] }: { from?: number; also?: readonly Bar[] } = {},
): Promise<void> {
  await store.register(symbols.map((symbol) => ({ symbol, name: null })));
  await store.historyBegins(symbols, from);
  const { journal } = hub.connect();
  const heads = await journal.open(PARTITIONS);
  for (const symbol of symbols) {
    // Whatever was answered before its day had closed counts no more once it has: unless the test is about that, all has.
    const settledTo = also.length > 0 ? from : ago(minutes + 30);
    await store.answered({ symbol, from: 0, to: 0, backfill: '' }, ago(minutes + 30), settledTo);
    const bars = [
      ...also,
      ...minutesOf(Math.max(from, ago(minutes + 60)), ago(minutes)).flatMap((at) => truth(symbol, at) ?? []),
    ];
    const known = heads[partitionOf(symbol)]!;
    await journal.append(null, [
      { partition: partitionOf(symbol), known, text: encodeEntry({ clock: null, bars }), bars: bars.length },
    ]);
    await waitFor(async () => (await store.head(symbol, '1m'))?.seq === bars.length, {
      what: 'the beginning is stored',
    });
  }
  const session = await store.beginLive(from);
  await store.liveSymbols(session, { added: symbols, since: from, removed: [], until: 0 });
  await store.vouch(session, ago(minutes) + MINUTE_MS);
  const client = new Client({ connectionString: database.url });
  await client.connect();
  await client.query(`update live_sessions set beat_at = now() - interval '${minutes} minutes'`);
  await client.end();
}

function minutesOf(from: number, to: number): number[] {
  return Array.from({ length: (to - from) / MINUTE_MS }, (_, n) => from + n * MINUTE_MS);
}

async function stored(symbol: string, from: number, to: number): Promise<(readonly [number, number])[]> {
  const [candles] = await store.answer([{ kind: 'candles', symbol, interval: '1m', from, to, limit: 1e5 }]);
  return (candles as Candle[]).map(({ openTime, close }) => [openTime, close] as const);
}

async function expectComplete(symbol: string, from: number, to: number): Promise<void> {
  const wanted = minutesOf(from, to).flatMap((at) => {
    const bar = truth(symbol, at);
    return bar === null ? [] : [[at, bar.close] as const];
  });
  await waitFor(async () => (await stored(symbol, from, to)).length >= wanted.length, {
    timeoutMs: PATIENCE_MS,
    what: `all of ${symbol}`,
  });
  expect(await stored(symbol, from, to)).toEqual(wanted);
}

/** How often each minute was answered, of those that were old enough for good. */
function answers(requests: readonly Request[], symbol: string): Map<number, number> {
  const times = new Map<number, number>();
  for (const { at, symbol: one, from, answeredTo } of requests) {
    if (one !== symbol || answeredTo === null) continue;
    for (const minute of minutesOf(from, answeredTo))
      if (minute + 2 * MINUTE_MS <= at) times.set(minute, (times.get(minute) ?? 0) + 1);
  }
  return times;
}

async function get<T>(path: string, schema: { parse(value: unknown): T }): Promise<T> {
  return schema.parse(await (await fetch(origin + path)).json());
}

const iso = (ms: number) => new Date(ms).toISOString();
const post = (body: unknown) => fetch(`${origin}/api/backfills`, { method: 'POST', body: JSON.stringify(body) });

/** The id of a backfill that was asked for. */
async function asked(symbol: string, start: number, end: number): Promise<string> {
  const response = await post({ symbols: [symbol], start: iso(start), end: iso(end) });
  return BackfillResponse.parse(await response.json()).id;
}

const finished = (id: string) =>
  waitFor(
    async () => {
      const report = await get(`/api/backfills/${id}`, BackfillResponse);
      return (report.state === 'done' || report.state === 'failed') && report;
    },
    { timeoutMs: PATIENCE_MS, what: 'the backfill is over' },
  );

const gapsOf = (symbol: string) => get(`/api/gaps?symbol=${symbol}`, GapsResponse);

test('after an outage everything is fetched once, whatever fails on the way, and quiet minutes never again', async () => {
  const OUTAGE = 40;
  await completeUntil(OUTAGE, ['AAPL']);
  await store.describeSource({ statuses: ['regular'], hasHistory: true });
  const before = await gapsOf('AAPL');
  expect(before.gaps[0]).toMatchObject({ state: 'open', reason: null });
  expect(Date.parse(before.gaps[0]!.start)).toBe(ago(OUTAGE) + MINUTE_MS);
  expect(before.gaps.reduce((sum, { minutes }) => sum + minutes, 0)).toBeGreaterThanOrEqual(OUTAGE - 4);
  expect((await get('/api/gaps', AllGapsResponse)).symbols.map(({ symbol }) => symbol)).toEqual(['AAPL']);

  const { source, requests, script } = scriptedSource(['AAPL']);
  script.fault = (n) => (n === 2 ? new RateLimited(1_500) : n === 4 ? new Error('500: try again') : null);
  const first = ingest(source, ['AAPL']);
  await expectComplete('AAPL', ago(OUTAGE + 60), ago(1));
  await waitFor(async () => (await gapsOf('AAPL')).gaps.length === 0, { timeoutMs: PATIENCE_MS, what: 'no gaps' });
  expect(requests[2]!.at - requests[1]!.at).toBeGreaterThanOrEqual(1_500);
  // From the last minute that is vouched for, less the least margin: its bar may have been corrected.
  expect(Math.min(...requests.map(({ from }) => from))).toBe(ago(OUTAGE));
  expect([...answers(requests, 'AAPL').values()].every((times) => times === 1)).toBe(true);
  await first.stop();

  const again = scriptedSource(['AAPL']);
  const [{ live }] = (await store.historyOf(['AAPL'])) as [StoredHistory];
  ingest(again.source, ['AAPL']);
  await waitFor(async () => (await store.historyOf(['AAPL']))[0]!.live.length > live.length, {
    timeoutMs: PATIENCE_MS,
    what: 'the stream flows again',
  });
  // Once something that was asked for after that is done, twice, what is missing has been looked for.
  for (const minutes of [300, 301]) await finished(await asked('AAPL', ago(minutes), ago(minutes)));
  const recent = again.requests.filter(({ from }) => from > ago(300));
  expect(recent.filter(({ from }) => from < ago(2))).toEqual([]);
});

test('a day that is over is fetched once more after its close, by whoever comes later, and corrections are merged', async () => {
  const today = calendar.openTimeOf('1d', now);
  const day = calendar.openTimeOf('1d', calendar.openTimeOf('1d', today - 1) - 1);
  const wrong = { ...truth('AAPL', day + MINUTE_MS)!, close: 99.5, low: 99 };
  await completeUntil(5, ['AAPL'], { from: day, also: [wrong] });
  expect(await stored('AAPL', day, day + 2 * MINUTE_MS)).toContainEqual([wrong.openTime, 99.5]);
  const { source, requests, script } = scriptedSource(['AAPL']);
  script.pageMinutes = 500;
  const first = ingest(source, ['AAPL']);
  // A later day may be settled before it.
  const isSettled = ({ from, to }: { from: number; to: number }) => from <= wrong.openTime && wrong.openTime < to;
  await waitFor(async () => (await store.historyOf(['AAPL']))[0]!.settled.some(isSettled), {
    timeoutMs: PATIENCE_MS,
    what: 'the day is settled',
  });
  const right = truth('AAPL', wrong.openTime)!.close;
  expect(await stored('AAPL', wrong.openTime, wrong.openTime + MINUTE_MS)).toEqual([[wrong.openTime, right]]);
  await waitFor(async () => (await store.pendingFills()).planned <= 1, { timeoutMs: PATIENCE_MS });
  await first.stop();
  expect([...answers(requests, 'AAPL').values()].every((times) => times === 1)).toBe(true);

  const again = scriptedSource(['AAPL']);
  ingest(again.source, ['AAPL']);
  await finished(await asked('AAPL', ago(60), ago(60)));
  await finished(await asked('AAPL', ago(61), ago(61)));
  expect(again.requests.filter(({ from }) => from < ago(70))).toEqual([]);
});

test('a symbol that the source refuses fails with its reason and does not hold up the others', async () => {
  await completeUntil(30, ['AAPL', 'NONE']);
  const { source, script } = scriptedSource(['AAPL', 'NONE']);
  script.fault = (_n, symbol) => (symbol === 'NONE' ? new HistoryRefused('no such symbol') : null);
  ingest(source, ['AAPL', 'NONE']);
  await expectComplete('AAPL', ago(90), ago(1));
  const { gaps } = await waitFor(
    async () => {
      const answer = await gapsOf('NONE');
      return answer.gaps.some(({ state }) => state === 'failed') && answer;
    },
    { timeoutMs: PATIENCE_MS, what: 'the gap has failed' },
  );
  expect(gaps[0]).toMatchObject({ state: 'failed', reason: 'no such symbol' });
});

describe('a backfill', () => {
  test.each([
    [400, { symbols: [], start: '2025-11-03' }, /^symbols/],
    [400, { symbols: 'AAPL', start: '2025-11-03' }, /^symbols/],
    [400, { symbols: ['A/B'], start: '2025-11-03' }, /^symbol/],
    [400, { symbols: ['AAPL'] }, /^start/],
    [400, { symbols: ['AAPL'], start: 5 }, /^start/],
    [400, { symbols: ['AAPL'], start: '2025-11-03', end: '2025-11-02' }, /^start/],
    [400, { symbols: ['AAPL'], start: '1990-01-01' }, /^start/],
    [400, { symbols: ['AAPL'], start: '2999-01-01' }, /^start/],
    [404, { symbols: ['NOBODY'], start: '2025-11-03' }, /^NOBODY/],
  ])('is refused with %i: %j', async (status, body, message) => {
    await store.register([{ symbol: 'AAPL', name: null }]);
    const response = await post(body);
    expect(response.status).toBe(status);
    expect(((await response.json()) as { error: { message: string } }).error.message).toMatch(message);
    expect((await fetch(`${origin}/api/backfills/none`)).status).toBe(404);
  });

  test('fails with the reason where the source has no history', async () => {
    await store.register([{ symbol: 'AAPL', name: null }]);
    const { source } = scriptedSource(['AAPL']);
    const { history: _, ...without } = source;
    const response = await post({ symbols: ['aapl'], start: iso(ago(60)) });
    expect(response.status).toBe(202);
    const { id, state } = BackfillResponse.parse(await response.json());
    expect(state).toBe('queued');
    ingest(without, ['AAPL']);
    expect(await finished(id)).toMatchObject({ state: 'failed', reason: 'this source has no history' });
    expect((await gapsOf('AAPL')).gaps).toEqual([]);
  });

  test('by command is shown, goes on without its terminal, is joined by the same command, and fetches what is there again', async () => {
    await completeUntil(5, ['AAPL', 'MSFT']);
    const { source, requests, script } = scriptedSource(['AAPL', 'MSFT']);
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    ingest(source, ['AAPL', 'MSFT']);
    await waitFor(async () => (await gapsOf('AAPL')).gaps.length === 0, { timeoutMs: PATIENCE_MS });
    const before = requests.length;
    script.delay = () => gate;
    const from = ago(60 * 5);
    const first = command('AAPL,MSFT', '--from', iso(from), '--to', iso(ago(10)));
    await waitFor(() => first.text().includes('ranges'), { timeoutMs: PATIENCE_MS, what: 'progress is shown' });
    await waitFor(() => requests.length > before, { what: 'the work has begun' });
    first.child.kill('SIGINT');
    expect(await first.exited).toBe(130);
    expect(first.text()).toContain('goes on in the background');
    const second = command('MSFT', 'AAPL', '--from', iso(from), '--to', iso(ago(10)));
    await waitFor(() => second.text().includes('ranges'), { timeoutMs: PATIENCE_MS, what: 'progress is shown again' });
    open();
    expect(await second.exited).toBe(0);
    const idOf = (text: string) => /backfill (\S+):/.exec(text)![1];
    expect(idOf(second.text())).toBe(idOf(first.text()));
    expect(second.text()).toMatch(/100 %.*\ndone: \d+ bars/);
    for (const symbol of ['AAPL', 'MSFT']) await expectComplete(symbol, from, ago(6));
    const again = requests.slice(before).filter(({ symbol, answeredTo }) => symbol === 'AAPL' && answeredTo !== null);
    expect(Math.min(...again.map((request) => request.from))).toBe(from);
    const report = await get(`/api/backfills/${idOf(first.text())}`, BackfillResponse);
    expect(report).toMatchObject({ state: 'done', reason: null });
    expect(report.jobs_done).toBe(report.jobs_total);
  });

  test('by command fails with exit code 1 and the reasons', async () => {
    await completeUntil(5, ['AAPL', 'NONE']);
    const { source, script } = scriptedSource(['AAPL', 'NONE']);
    script.fault = (_n, symbol) => (symbol === 'NONE' ? new HistoryRefused('no such symbol') : null);
    ingest(source, ['AAPL', 'NONE']);
    const failing = command('AAPL,NONE', '--from', iso(ago(60)), '--to', iso(ago(10)));
    expect(await failing.exited).toBe(1);
    expect(failing.text()).toContain('NONE: no such symbol');
    await expectComplete('AAPL', ago(60), ago(6));
    const unknown = command('NOBODY', '--from', '2025-01-01');
    expect(await unknown.exited).toBe(1);
    expect(unknown.text()).toContain('NOBODY');
  });

  test('by command says what it waits for', async () => {
    await completeUntil(5, ['AAPL', 'MSFT']);
    const waiting = command('AAPL,MSFT', '--from', iso(ago(60)), '--to', iso(ago(10)));
    const says = (what: string) => waitFor(() => waiting.text().includes(what), { timeoutMs: PATIENCE_MS, what });
    await says('0/? ranges · waits for a leading ingestor');
    const { source, script } = scriptedSource(['AAPL', 'MSFT']);
    script.fault = () => new RateLimited(3_000);
    ingest(source, ['AAPL', 'MSFT']);
    await says(': rate limited by the source for 3 s · 0 bars');
    script.fault = () => null;
    expect(await waiting.exited).toBe(0);
    expect(waiting.text()).toMatch(/100 % · (\d+)\/\1 ranges · \d+ bars .*\ndone: /);
  });

  function command(...args: string[]) {
    const child = spawn(process.execPath, [join(ROOT, 'scripts/backfill.mjs'), '--url', origin, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part) => (text += part));
    const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    return { child, exited, text: () => text };
  }
});
