import type { Store } from '@candlewire/store';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { type TestGateway, type WsRig, wsRig } from './rig.suite';
import { connectClient, type TestClient } from './test-client.suite';

const COMMITS = 300;
const CLIENTS = 25;
const SYMBOL = 'RUN';
const PATH = `/ws/candles/${SYMBOL}?timeframe=5Min&limit=1000`;

interface Row {
  readonly timestamp: string;
  readonly revision?: number;
  readonly final?: boolean;
  readonly [field: string]: unknown;
}

/** History and bars by timestamp, as a chart would have them. A history replaces what was there. */
function folded(client: TestClient): Row[] {
  let rows = new Map<string, Row>();
  for (const message of client.told) {
    if (message.type === 'historical') {
      rows = new Map((message.data as Row[]).map((row) => [row.timestamp, row]));
    } else if (message.type === 'bar') {
      const { type, symbol, timeframe, final, revision, ...row } = message as unknown as Row;
      rows.set(row.timestamp as string, row as Row);
    }
  }
  return [...rows.values()].sort((a, b) => Date.parse(a.timestamp) - Date.parse(b.timestamp));
}

describeWithRedis('clients that join a running stream', () => {
  let rig: WsRig;
  let one: TestGateway;

  /** Called when a snapshot was read and before it is told. */
  let afterSnapshot: () => Promise<void>;

  beforeEach(async () => {
    rig = await wsRig();
    afterSnapshot = async () => {};
    const candles: Store['candles'] = async (query) => {
      const page = await rig.db.store.candles(query);
      await afterSnapshot();
      return page;
    };
    one = await rig.gateway({ store: { candles } });
  });
  afterEach(() => rig.close());

  /** Commits and publishes as the aggregator does: the messages after the commit, each change once; some are sent again. */
  async function stream(commits: number, random: () => number, before: (commit: number) => Promise<void> | void) {
    const { epoch } = (await rig.db.store.identity())!;
    const channel = rig.channels.candles('5m', SYMBOL);
    let seq = (await rig.db.store.head(SYMBOL, '5m'))?.seq ?? 0;
    for (let commit = 0; commit < commits; commit++) {
      await before(commit);
      const newest = Math.floor(commit / 10);
      const changed = new Map([[newest, 100 + commit]]);
      // A correction of a candle that is over.
      if (newest > 0 && random() < 0.3) changed.set(Math.floor(random() * newest), 200 + commit);
      const from = seq;
      const candles = [...changed].map(([at, close]) => [5 * at, close] as const);
      seq = await rig.writer.commit(SYMBOL, '5m', candles);
      const { changes } = await rig.db.store.changes({ symbol: SYMBOL, interval: '5m', after: from, limit: 1_000 });
      const messages = changes.map(({ seq: n, candleJson }) => ({
        channel,
        text: `{"type":"candle","symbol":"${SYMBOL}","interval":"5m","epoch":"${epoch}","seq":${n},"candle":${candleJson}}`,
      }));
      await rig.bus.publish(random() < 0.1 ? [...messages, ...messages] : messages);
    }
  }

  async function expectAllTold(clients: readonly TestClient[]): Promise<void> {
    const response = await fetch(`${one.origin}/api/symbols/${SYMBOL}/historical?timeframe=5Min&limit=1000`);
    const { data } = (await response.json()) as { data: Row[] };
    expect(data.length).toBeGreaterThan(10);
    for (const client of clients) {
      await waitFor(() => JSON.stringify(folded(client)) === JSON.stringify(data), { what: 'a client has everything' });
      expect(client.of('historical')).toHaveLength(1);
    }
  }

  /** Closes grow with the commits, so a state that comes after a later one of the same candle would show. */
  function expectInOrder(client: TestClient): void {
    const closes = new Map<unknown, number>();
    for (const { timestamp, close } of client.of('bar')) {
      const before = closes.get(timestamp);
      const isLater = before === undefined || (close as number) > before;
      expect([timestamp, close, before, isLater]).toEqual([timestamp, close, before, true]);
      closes.set(timestamp, close as number);
    }
  }

  test('miss nothing and see nothing twice, wherever they join', async () => {
    const random = seeded(7);
    const joins = Array.from({ length: CLIENTS }, () => Math.floor(random() * COMMITS));
    const clients: Promise<TestClient>[] = [];
    await stream(COMMITS, random, async (commit) => {
      for (const join of joins) if (join === commit) clients.push(connectClient(one.origin, PATH));
      // However long joining takes, one has joined by now, and sees what comes.
      if (commit === COMMITS / 2) await (await clients[0]!).heard('historical');
    });
    const joined = await Promise.all(clients);
    await expectAllTold(joined);
    for (const client of joined) expectInOrder(client);
    // Somebody saw the stream and not only its end.
    expect(Math.max(...joined.map((client) => client.of('bar').length))).toBeGreaterThan(COMMITS / 4);
  });

  test('get what is published between the reading of their snapshot and its telling, though nothing follows', async () => {
    await stream(110, seeded(9), () => {});
    afterSnapshot = async () => {
      afterSnapshot = async () => {};
      await stream(
        1,
        () => 1,
        () => {},
      );
      await rig.bus.publish([{ channel: rig.channels.prices('MARK'), text: '{"type":"mark"}' }]);
      // What was published before it was heard before it.
      await marker.heard('mark');
    };
    const marker = await connectClient(one.origin, '/ws');
    marker.say({ type: 'subscribe', symbols: ['MARK'] });
    await rig.hears(marker, 'MARK');
    const client = await connectClient(one.origin, PATH);
    await client.heard('bar');
    await expectAllTold([client]);
  });

  test('get what was published while the bus was away', async () => {
    const random = seeded(8);
    const clients = [await connectClient(one.origin, PATH)];
    await stream(150, random, async (commit) => {
      if (commit === 40 || commit === 120) await rig.redis.cut();
      // Joined while nothing can be subscribed.
      if (commit === 60) clients.push(await connectClient(one.origin, PATH));
      if (commit === 80) await rig.redis.heal();
    });
    // Nothing is published afterwards that would show a gap.
    await rig.redis.heal();
    await expectAllTold(clients);
    for (const client of clients) expectInOrder(client);
  });
});

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
