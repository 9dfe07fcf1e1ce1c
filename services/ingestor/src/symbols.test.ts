import { type Bus, createInProcessBus } from '@candlewire/bus';
import { silentLogger } from '@candlewire/runtime';
import { StoreUnavailable } from '@candlewire/store';
import { waitFor } from '@candlewire/testkit';
import { type ManualTime, manualTime } from './manual-time.suite';
import { createSymbolSet, type OnRegistered, type SymbolSet } from './symbols';

const CHANNEL = 'test:symbols';
const LEASE_MS = 60_000;

/** The store's symbols, and whether each is active. */
class Symbols {
  readonly active = new Map<string, boolean>();
  away = false;

  readonly symbols = async () =>
    [...this.active].map(([symbol, active]) => {
      return { symbol, name: null, active, last_price: null, last_timestamp: null };
    });
  readonly activeSymbols = async () => {
    if (this.away) throw new StoreUnavailable(new Error('away'));
    return [...this.active].flatMap(([symbol, active]) => (active ? [symbol] : [])).sort();
  };
  readonly register = async (wanted: readonly { symbol: string }[]) => {
    for (const { symbol } of wanted) this.active.set(symbol, true);
    return [];
  };
}

let store: Symbols;
let bus: Bus;
let time: ManualTime;
let stop: AbortController;
let following: Promise<void>;

beforeEach(() => {
  store = new Symbols();
  bus = createInProcessBus({ logger: silentLogger }).connect();
  time = manualTime();
  stop = new AbortController();
  following = Promise.resolve();
});

afterEach(async () => {
  stop.abort();
  await following;
  await bus.close();
});

function symbolSet(wanted: readonly string[] | null = null, lingerMs = 0): SymbolSet {
  const deps = { store, bus, channel: CHANNEL, time, logger: silentLogger };
  return createSymbolSet({ ...deps, wanted, defaults: ['A', 'B'], lingerMs });
}

async function followed(onRegistered: OnRegistered = async () => async () => {}, lingerMs = 0): Promise<SymbolSet> {
  const set = symbolSet(['A'], lingerMs);
  await set.begin();
  following = set.follow(onRegistered, stop.signal);
  return set;
}

const becomes = (set: SymbolSet, ...symbols: string[]) =>
  waitFor(() => JSON.stringify(set.current()) === JSON.stringify(symbols), { what: `the set is ${symbols}` });

describe('at the start', () => {
  test('the default symbols are registered where the store knows none', async () => {
    const set = symbolSet();
    await set.begin();
    expect(set.current()).toEqual(['A', 'B']);
  });

  test('nothing is where it knows some, be they active or not', async () => {
    store.active.set('OLD', false);
    const set = symbolSet();
    await set.begin();
    expect([...store.active]).toEqual([['OLD', false]]);
    expect(set.current()).toEqual([]);
  });

  test('symbols that are named are registered in any case, and active again', async () => {
    store.active.set('OLD', false).set('OTHER', true);
    const set = symbolSet(['OLD', 'NEW']);
    await set.begin();
    expect(set.current()).toEqual(['NEW', 'OLD', 'OTHER']);
  });
});

describe('the set', () => {
  test('follows what is registered and deactivated, at once where it is told', async () => {
    const set = await followed();
    store.active.set('B', true);
    await bus.publish([{ channel: CHANNEL, text: 'B' }]);
    await becomes(set, 'A', 'B');
    store.active.set('A', false);
    await bus.publish([{ channel: CHANNEL, text: 'A' }]);
    await becomes(set, 'B');
  });

  test('follows it within a second where it is not told', async () => {
    const set = await followed();
    store.active.set('B', true);
    await waitFor(() => {
      time.advance(100);
      return set.current().length === 2;
    });
  });

  test('holds watched symbols after the registered ones, each once, until their leases end', async () => {
    const set = await followed();
    await bus.demand.want(['Z', 'A', 'B'], LEASE_MS);
    await becomes(set, 'A', 'Z', 'B');
    await bus.demand.drop('Z');
    time.advance(1_000);
    await becomes(set, 'A', 'B');
  });

  test('stays what it was while the store is away, but for what is watched', async () => {
    const set = await followed();
    store.away = true;
    await bus.demand.want(['B'], LEASE_MS);
    await becomes(set, 'A', 'B');
  });
});

describe('what was watched', () => {
  const LINGER_MS = 60_000;
  const lingering = () => followed(undefined, LINGER_MS);
  /** The end of a lease, of which nobody is told. */
  const expire = (symbol: string) => bus.demand.drop(symbol);
  /** Moves the clock on, and waits until the set was looked at after that. */
  async function looked(ms: number): Promise<void> {
    time.advance(ms);
    const asked = jest.spyOn(store, 'activeSymbols');
    await waitFor(async () => {
      await bus.publish([{ channel: CHANNEL, text: 'NOBODY' }]);
      return asked.mock.calls.length > 2;
    });
    asked.mockRestore();
  }

  test('lingers behind what is watched, and is let go at the end of that time', async () => {
    const set = await lingering();
    await bus.demand.want(['Y', 'Z'], LEASE_MS * 10);
    await becomes(set, 'A', 'Y', 'Z');
    await expire('Y');
    time.advance(1_000);
    await becomes(set, 'A', 'Z', 'Y');
    await looked(LINGER_MS - 1_000);
    expect(set.current()).toEqual(['A', 'Z', 'Y']);
    time.advance(1_000);
    await becomes(set, 'A', 'Z');
  });

  test('is watched again where somebody comes back in time', async () => {
    const set = await lingering();
    await bus.demand.want(['Y', 'Z'], LEASE_MS * 10);
    await becomes(set, 'A', 'Y', 'Z');
    await expire('Y');
    time.advance(1_000);
    await becomes(set, 'A', 'Z', 'Y');
    await bus.demand.want(['Y'], LEASE_MS * 10);
    await looked(LINGER_MS);
    expect(set.current()).toEqual(['A', 'Z', 'Y']);
  });

  test('is let go at once where it is told that it was deactivated', async () => {
    const set = await lingering();
    await bus.demand.want(['Y', 'Z'], LEASE_MS);
    await becomes(set, 'A', 'Y', 'Z');
    await bus.publish([{ channel: CHANNEL, text: 'Y' }]);
    await bus.demand.drop('Y');
    await waitFor(() => {
      time.advance(100);
      return set.current().length === 2;
    });
    expect(set.current()).toEqual(['A', 'Z']);
  });

  test('and is not, is the same array while nothing changes', async () => {
    const set = await lingering();
    const before = set.current();
    await looked(1_000);
    expect(set.current()).toBe(before);
  });
});

test('a newly registered symbol is told of before it is delivered and after, a watched one never', async () => {
  const told: unknown[] = [];
  const set = await followed(async (added) => {
    told.push(['before', added, [...set.current()]]);
    return async () => void told.push(['after', added, [...set.current()]]);
  });
  await bus.demand.want(['W'], LEASE_MS);
  await becomes(set, 'A', 'W');
  store.active.set('B', true);
  await bus.publish([{ channel: CHANNEL, text: 'B' }]);
  await waitFor(() => told.length === 2);
  expect(told).toEqual([
    ['before', ['B'], ['A', 'W']],
    ['after', ['B'], ['A', 'B', 'W']],
  ]);
  store.active.set('W', true);
  await bus.publish([{ channel: CHANNEL, text: 'W' }]);
  await waitFor(() => told.length === 4);
  expect(told[2]).toEqual(['before', ['W'], ['A', 'B', 'W']]);
});
