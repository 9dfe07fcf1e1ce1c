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
let asked: () => void;
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
  asked = () => {};
  beats = 0;
  sessions = 0;
  stop = new AbortController();
  watch = createLiveWatch({
    store: {
      allConsumed: async () => {
        asked();
        return consumed;
      },
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
    heads: () => heads,
    delivers: () => symbols,
    takeMissed: () => {
      const taken = missed;
      missed = new Map();
      return taken;
    },
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

const changes = () =>
  calls.filter(([what]) => what === 'symbols').map(([, session, added, , gone, to]) => [session, added, gone, to]);
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

test('who missed a bar leaves with the minute that is uncertain, and takes part again from the next one on', async () => {
  await begin();
  watch.delivered({ clock: MINUTE + 10 * MINUTE_MS });
  time.advance(10 * MINUTE_MS);
  await beat();
  missed.set('A', MINUTE + 3 * MINUTE_MS).set('B', MINUTE + 5 * MINUTE_MS);
  await waitFor(async () => {
    await beat();
    return changes().length === 4;
  });
  expect(changes().slice(1)).toEqual([
    [1, [], ['A'], 3 * MINUTE_MS],
    [1, [], ['B'], 5 * MINUTE_MS],
    [1, ['A', 'B'], [], 10 * MINUTE_MS],
  ]);
});

test('what a stretch missed is told though it is over', async () => {
  await begin();
  watch.delivered({ clock: MINUTE + 10 * MINUTE_MS });
  await beat();
  missed.set('A', MINUTE + 3 * MINUTE_MS);
  watch.delivered({ state: 'connecting', clock: null });
  await waitFor(() => {
    time.advance(5_000);
    return changes().length === 2;
  });
  expect(changes().at(-1)).toEqual([1, [], ['A'], 3 * MINUTE_MS]);
});

test('a stretch that ends while it is asked what has been committed vouches for nothing more', async () => {
  await begin();
  watch.delivered({ clock: MINUTE + 10 * MINUTE_MS });
  await beat();
  consumed = [{ id: 'j', last: 3 }];
  asked = () => watch.interrupted();
  await waitFor(() => {
    time.advance(5_000);
    return watch.session() === null;
  });
  time.advance(5_000);
  await Promise.resolve();
  expect(vouches().every(([, to]) => to === MINUTE_MS)).toBe(true);
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
