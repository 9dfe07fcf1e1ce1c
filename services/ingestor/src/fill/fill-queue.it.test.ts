import { silentLogger } from '@candlewire/runtime';
import type { FillKey, PlannedFill } from '@candlewire/store';
import { type TestDatabase, testDatabase, waitFor } from '@candlewire/testkit';
import { type FillQueue, type FillQueueOptions, openFillQueue } from './fill-queue';
import type { FillProgress } from './fill-range';

type Work = FillQueueOptions['work'];

let database: TestDatabase;
const opened: FillQueue[] = [];

beforeEach(async () => {
  database = await testDatabase();
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((queue) => queue.close()));
  await database.drop();
});

const failed: unknown[] = [];
const onFailure = async (fill: FillKey, err: Error, isLast: boolean) =>
  void failed.push([fill.symbol, err.message, isLast]);

async function open(work: Work): Promise<FillQueue> {
  const queue = await openFillQueue({ url: database.url, logger: silentLogger, work, onFailure });
  opened.push(queue);
  return queue;
}

const planned = (symbol: string, priority = 1): PlannedFill => ({
  symbol,
  from: 60_000,
  to: 120_000,
  backfill: '',
  priority,
});
const progress: FillProgress = { journal: { id: 'j', last: 3 }, next: 120_000, fetchedAt: 5, notBefore: 0 };
const untilAborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

test('what has the lower number is worked on first, and what is there already is added once', async () => {
  const seen: string[] = [];
  const gates: Record<string, () => void> = {};
  const queue = await open(async ({ symbol }) => {
    seen.push(symbol);
    // Both workers are held up, and one of them to the end: the order of the other is that of the queue.
    if (symbol === 'FIRST' || symbol === 'SECOND') {
      await new Promise<void>((resolve) => {
        gates[symbol] = resolve;
      });
    }
    return 'done';
  });
  await queue.add([planned('FIRST'), planned('SECOND')]);
  await waitFor(() => seen.length === 2);
  await queue.add([planned('OLD', 3), planned('NEW', 1), planned('MIDDLE', 2), planned('FIRST'), planned('NEW')]);
  await queue.add([planned('OLD', 3)]);
  gates.SECOND!();
  await waitFor(() => queue.counters.ranges === 4);
  expect(seen.slice(2)).toEqual(['NEW', 'MIDDLE', 'OLD']);
  gates.FIRST!();
  await waitFor(() => queue.counters.ranges === 5);
});

test('a range that is done can be added again', async () => {
  const queue = await open(async () => 'done');
  for (let time = 1; time <= 2; time++) {
    await queue.add([planned('A')]);
    await waitFor(() => queue.counters.ranges === time);
  }
});

test('a range that fails is tried again, with the progress that was saved', async () => {
  const seen: unknown[] = [];
  const queue = await open(async (range: FillKey, known, save) => {
    seen.push([range, known]);
    if (seen.length > 1) return 'done';
    await save(progress);
    throw new Error('the source is away');
  });
  await queue.add([planned('A')]);
  await waitFor(() => queue.counters.ranges === 1);
  const { priority: _, ...range } = planned('A');
  expect(seen).toEqual([
    [range, null],
    [range, progress],
  ]);
  expect(queue.counters).toEqual({ ranges: 1, failures: 1 });
  expect(failed.splice(0)).toEqual([['A', 'the source is away', false]]);
});

test('a range that was only appended is looked at again, which is no failure', async () => {
  let looks = 0;
  const queue = await open(async () => (++looks < 3 ? 'appended' : 'done'));
  await queue.add([planned('A')]);
  await waitFor(() => queue.counters.ranges === 1);
  expect(looks).toBe(3);
  expect(queue.counters.failures).toBe(0);
});

test('closing hands back what is worked on, to be taken up soon by another, not after its lock has run out', async () => {
  let began = false;
  const first = await open(async (_range, _known, save, signal) => {
    await save(progress);
    began = true;
    await untilAborted(signal);
    return 'interrupted';
  });
  await first.add([planned('A')]);
  await waitFor(() => began);
  await first.close();
  let known: FillProgress | null = null;
  const second = await open(async (_range, before) => {
    known = before;
    return 'done';
  });
  await waitFor(() => second.counters.ranges === 1, { timeoutMs: 4_000 });
  expect(known).toEqual(progress);
});

test('what has to wait is looked at again when it was said, and not before', async () => {
  const looks: number[] = [];
  const queue = await open(async () => {
    looks.push(Date.now());
    return looks.length === 1 ? 1_500 : 'done';
  });
  await queue.add([planned('A')]);
  await waitFor(() => queue.counters.ranges === 1);
  expect(looks[1]! - looks[0]!).toBeGreaterThanOrEqual(1_500);
  expect(queue.counters.failures).toBe(0);
});

test('five open it at the same moment', async () => {
  const seen: string[] = [];
  const queues = await Promise.all(
    Array.from({ length: 5 }, () =>
      open(async ({ symbol }) => {
        seen.push(symbol);
        return 'done';
      }),
    ),
  );
  await Promise.all(queues.map((queue) => queue.add([planned('A'), planned('B')])));
  await waitFor(() => queues.reduce((sum, { counters }) => sum + counters.ranges, 0) >= 2);
  expect(new Set(seen)).toEqual(new Set(['A', 'B']));
});

test('says why it cannot be opened where Postgres is away', async () => {
  const url = new URL(database.url);
  url.port = '1';
  const opening = openFillQueue({ url: url.href, logger: silentLogger, work: async () => 'done', onFailure });
  await expect(opening).rejects.toThrow('ECONNREFUSED');
});
