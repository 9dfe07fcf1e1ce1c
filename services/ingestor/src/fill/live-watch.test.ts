import type { JournalHead } from '@candlewire/bus';
import { MINUTE_MS } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import { type ManualTime, manualTime } from '../manual-time.suite';
import { createLiveWatch, type LiveWatch } from './live-watch';

const BEGIN = Date.UTC(2026, 0, 5, 12, 0, 20);
const MINUTE = BEGIN - 20_000;

let time: ManualTime;
let watch: LiveWatch;
let calls: unknown[][];
let heads: JournalHead[];
let consumed: JournalHead[];
let symbols: string[];
let missed: Map<string, number>;
let beats: number;
let sessions: number;
let stop: AbortController;
let running: Promise<void>;

beforeEach(() => {
  time = manualTime(BEGIN);
  calls = [];
  heads = [{ id: 'j', last: 3 }];
  consumed = [{ id: 'j', last: 2 }];
  symbols = ['A', 'B'];
  missed = new Map();
  beats = 0;
  sessions = 0;
  stop = new AbortController();
  watch = createLiveWatch({
    store: {
      allConsumed: async () => consumed,
      beginLive: async (from) => {
        calls.push(['begin', from - MINUTE]);
        return ++sessions;
      },
      vouch: async (session, to) => {
        beats++;
        calls.push(['vouch', session, to - MINUTE]);
      },
      liveSymbols: async (session, { added, since, removed, until }) => {
        calls.push(['symbols', session, added, since - MINUTE, removed, until - MINUTE]);
      },
    },
    journal: { open: async () => heads },
    delivers: () => symbols,
    missed: () => missed,
    time,
    logger: silentLogger,
  });
  running = watch.run(stop.signal);
});

afterEach(async () => {
  stop.abort();
  await running;
});

/** Lets so many heartbeats come, of which each vouches for something or says that it goes on. */
async function beat(count = 1): Promise<void> {
  for (let n = 0; n < count; n++) {
    const before = beats;
    await waitFor(() => {
      time.advance(5_000);
      return beats > before;
    });
  }
}

async function begin(): Promise<void> {
  expect(watch.delivered({ state: 'live', clock: null })).toBe(true);
  await watch.begun();
}

const vouches = () => calls.filter(([what]) => what === 'vouch').map(([, session, to]) => [session, to]);

test('a stretch begins with the next whole minute, and takes those along whose bars flow', async () => {
  expect(watch.session()).toBeNull();
  await begin();
  expect(watch.session()).toBe(1);
  expect(calls).toEqual([
    ['begin', MINUTE_MS],
    ['symbols', 1, ['A', 'B'], MINUTE_MS, [], 0],
  ]);
});

test('vouches up to the clock, less a minute, once what stood in the journals then has been committed', async () => {
  await begin();
  watch.delivered({ clock: MINUTE + 10 * MINUTE_MS + 59_000 });
  await beat(3);
  expect(new Set(vouches().map(([, to]) => to))).toEqual(new Set([MINUTE_MS]));
  watch.delivered({ clock: MINUTE + 20 * MINUTE_MS });
  heads = [{ id: 'j', last: 9 }];
  consumed = [{ id: 'j', last: 3 }];
  await waitFor(async () => {
    await beat();
    return vouches().at(-1)![1] === 9 * MINUTE_MS;
  });
  consumed = [{ id: 'j', last: 9 }];
  await waitFor(async () => {
    await beat();
    return vouches().at(-1)![1] === 19 * MINUTE_MS;
  });
});

test('never vouches for what went to a journal that was lost', async () => {
  await begin();
  watch.delivered({ clock: MINUTE + 10 * MINUTE_MS });
  await beat();
  consumed = [{ id: 'other', last: 100 }];
  await beat(3);
  expect(vouches().every(([, to]) => to === MINUTE_MS)).toBe(true);
});

test('who comes later takes part from the next minute on, and who goes until the last heartbeat before', async () => {
  await begin();
  watch.delivered({ clock: MINUTE });
  await beat();
  const told = calls.length;
  symbols = ['B', 'C'];
  await beat();
  const change = calls.slice(told).find(([what]) => what === 'symbols')!;
  expect([change[2], change[4]]).toEqual([['C'], ['A']]);
  expect(change[3] as number).toBeGreaterThan(time.now() - MINUTE - 5_000);
  expect(change[5] as number).toBeLessThanOrEqual(time.now() - MINUTE);
  await beat(2);
  expect(calls.filter(([what]) => what === 'symbols')).toHaveLength(2);
});

test('who goes while the feed is behind is vouched for up to its clock alone', async () => {
  await begin();
  watch.delivered({ clock: MINUTE - 15 * MINUTE_MS });
  await beat();
  symbols = ['B'];
  await beat();
  const change = calls.findLast(([what]) => what === 'symbols')!;
  expect([change[4], change[5]]).toEqual([['A'], -15 * MINUTE_MS]);
});

test('who misses a bar goes with the minute that is uncertain, and takes part again when it misses none', async () => {
  await begin();
  watch.delivered({ clock: MINUTE + 10 * MINUTE_MS });
  time.advance(10 * MINUTE_MS);
  await beat();
  missed.set('A', MINUTE + 3 * MINUTE_MS).set('B', MINUTE + 5 * MINUTE_MS);
  await beat();
  const changes = () =>
    calls.filter(([what]) => what === 'symbols').map(([, , added, , gone, to]) => [added, gone, to]);
  expect(changes().slice(1)).toEqual([
    [[], ['A'], 3 * MINUTE_MS],
    [[], ['B'], 5 * MINUTE_MS],
  ]);
  missed.delete('A');
  await beat();
  expect(changes().slice(3)).toEqual([[['A'], [], 10 * MINUTE_MS]]);
});

test('after an interruption nothing is vouched for until another stretch begins', async () => {
  await begin();
  watch.delivered({ clock: MINUTE });
  await beat();
  watch.delivered({ state: 'connecting', clock: null });
  expect(watch.session()).toBeNull();
  await expect(watch.begun()).rejects.toThrow('not live');
  const before = beats;
  for (let n = 0; n < 5; n++) {
    time.advance(5_000);
    await Promise.resolve();
  }
  expect(beats).toBe(before);
  await begin();
  expect(watch.session()).toBe(2);
});
