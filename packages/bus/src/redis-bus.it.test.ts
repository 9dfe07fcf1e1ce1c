import { channelsOf } from '@candlewire/contracts';
import { type Fields, type Logger, silentLogger } from '@candlewire/runtime';
import { describeWithRedis, type TestRedis, testRedis, waitFor } from '@candlewire/testkit';
import { Redis } from 'ioredis';
import type { Bus } from './bus';
import { describeBus } from './bus.suite';
import { connectBus } from './redis-bus';
import { type BusUnderTest, whenConnected } from './test-bus.suite';

async function removeKeys(redis: Redis, prefix: string): Promise<void> {
  const keys = await redis.keys(`${prefix}:*`);
  if (keys.length > 0) await redis.del(...keys);
}

async function room(): Promise<BusUnderTest> {
  const server = (await testRedis())!;
  const { url, prefix } = server;
  const raw = new Redis(url);
  return {
    prefix,
    connect: () => connectBus({ url, prefix, logger: silentLogger }),
    empty: () => removeKeys(raw, prefix),
    close: async () => {
      await server.close();
      await raw.quit();
    },
  };
}

describeWithRedis('redis', () => {
  describeBus('a bus on Redis', room, true);
});

describeWithRedis('a bus on Redis, seen from Redis', () => {
  let server: TestRedis;
  let raw: Redis;

  beforeAll(async () => {
    server = (await testRedis())!;
    raw = new Redis(server.url);
  });
  afterAll(async () => {
    await server.close();
    await raw.quit();
  });

  async function open(logger: Logger = silentLogger): Promise<Bus> {
    const bus = connectBus({ url: server.url, prefix: server.prefix, logger });
    await whenConnected(bus);
    return bus;
  }

  /** Cuts the connection of that role which this suite's bus holds, as `CLIENT KILL` does. */
  async function cut(role: 'commands' | 'subscriber'): Promise<void> {
    const list = (await raw.client('LIST')) as string;
    const line = list.split('\n').find((client) => client.includes(` name=${server.prefix}:${role} `));
    await raw.client('KILL', 'ID', / ?id=(\d+)/.exec(line!)![1]!);
  }

  test('anyone can subscribe to a channel and read a last value under its name', async () => {
    const bus = await open();
    const reader = raw.duplicate();
    const got: string[][] = [];
    reader.on('message', (...message: string[]) => got.push(message));
    const { feedStatus, bars } = channelsOf(server.prefix);
    await reader.subscribe(feedStatus, bars('AAPL'));
    await bus.keep({ channel: feedStatus, text: '{"state":"live"}' });
    await bus.publish([{ channel: bars('AAPL'), text: '{}' }]);
    await waitFor(() => got.length >= 2);
    expect(got).toEqual([
      [`${server.prefix}:status:feed`, '{"state":"live"}'],
      [`${server.prefix}:bars:AAPL`, '{}'],
    ]);
    expect(await raw.get(`${server.prefix}:status:feed`)).toBe('{"state":"live"}');
    reader.disconnect();
    await bus.close();
  });

  test('several listeners of a channel hold one subscription, and none is left behind', async () => {
    const bus = await open();
    const channel = `${server.prefix}:counted`;
    const count = async () => ((await raw.pubsub('NUMSUB', channel)) as [string, number])[1];
    const offs = await Promise.all([1, 2, 3].map(() => bus.subscribe(channel, () => {})));
    expect(await count()).toBe(1);
    await Promise.all(offs.slice(1).map((off) => off()));
    expect(await count()).toBe(1);
    await offs[0]!();
    expect(await count()).toBe(0);
    // Joined and left before anybody was told.
    const brief = bus.subscribe(channel, () => {}).then((off) => off());
    await brief;
    await waitFor(async () => (await count()) === 0);
    await bus.close();
  });

  test('a subscriber that Redis cut off subscribes again, says so when it hears again, and logs it once', async () => {
    const events: string[] = [];
    const note = (event: string, fields?: Fields) => events.push(`${event} ${fields?.connection ?? ''}`.trim());
    const logger: Logger = { ...silentLogger, warn: note, info: note };
    const bus = await open(logger);
    const channel = `${server.prefix}:healed`;
    const got: string[] = [];
    const offLeft = await bus.subscribe(`${channel}:left`, () => {});
    await bus.subscribe(channel, (text) => got.push(text));
    await offLeft();
    for (let round = 1; round <= 3; round++) {
      const back = new Promise<void>((resolve) => bus.onReconnect(resolve));
      await cut('subscriber');
      await back;
      await raw.publish(channel, `${round}`);
      await waitFor(() => got.length >= round, { what: `message ${round}` });
    }
    expect(got).toEqual(['1', '2', '3']);
    expect(await raw.pubsub('NUMSUB', `${channel}:left`)).toEqual([`${channel}:left`, 0]);
    const outage = ['redis away subscriber', 'redis connected'];
    expect(events).toEqual(['redis connected', ...outage, ...outage, ...outage]);
    await bus.close();
  });

  test('channels joined and left while the subscriber is away are in force when it is back', async () => {
    let lose = () => {};
    const away = new Promise<void>((resolve) => {
      lose = resolve;
    });
    const bus = await open({ ...silentLogger, warn: () => lose() });
    const channel = (i: number) => `${server.prefix}:away:${i}`;
    const got: string[] = [];
    const offs = await Promise.all([0, 1].map((i) => bus.subscribe(channel(i), (text) => got.push(text))));
    const back = new Promise<void>((resolve) => bus.onReconnect(resolve));
    const cutting = cut('subscriber');
    // In the very turn in which the loss is noticed: the next connection is not there yet.
    await away;
    const subscribed = bus.subscribe(channel(2), (text) => got.push(text));
    await offs[0]!();
    await Promise.all([cutting, back, subscribed]);
    for (const i of [0, 1, 2]) await raw.publish(channel(i), `${i}`);
    await waitFor(() => got.length >= 2);
    expect(got).toEqual(['1', '2']);
    expect(await raw.pubsub('NUMSUB', channel(0))).toEqual([channel(0), 0]);
    await bus.close();
  });

  test('a channel that is left while it is being subscribed to again is left', async () => {
    let connected = () => {};
    const bus = await open({ ...silentLogger, info: () => connected() });
    const channel = `${server.prefix}:left`;
    const off = await bus.subscribe(channel, () => {});
    const back = new Promise<void>((resolve) => bus.onReconnect(resolve));
    const left = new Promise<void>((resolve) => {
      // After this turn SUBSCRIBE has been sent, and its answer is still on the way.
      connected = () => setImmediate(() => resolve(off()));
    });
    await cut('subscriber');
    await Promise.all([left, back]);
    const heard = async () => ((await raw.pubsub('NUMSUB', channel)) as [string, number])[1];
    await waitFor(async () => (await heard()) === 0, { what: 'the channel to be left' });
    await bus.close();
  });

  test('a command connection that was cut is made again, and commands go on', async () => {
    const bus = await open();
    await bus.journal.open(1);
    for (let round = 0; round < 3; round++) {
      await cut('commands');
      // The first may still have been sent on the connection that was cut.
      await waitFor(() => bus.ping(), { what: 'an answer' });
      await bus.keep({ channel: `${server.prefix}:status:feed`, text: `${round}` });
    }
    expect(await bus.kept(`${server.prefix}:status:feed`)).toBe('2');
    await bus.close();
  });

  test('tens of thousands of messages and entries in one call arrive whole', async () => {
    const bus = await open();
    const channel = `${server.prefix}:flood`;
    const [known] = await bus.journal.open(1);
    let got = 0;
    await bus.subscribe(channel, () => got++);
    const appends = Array.from({ length: 1_000 }, () => ({
      partition: 0,
      known: known!,
      text: 'x'.repeat(1_000),
      bars: 5,
    }));
    const messages = Array.from({ length: 20_000 }, (_, i) => ({ channel, text: `${i}` }));
    const appended = await bus.journal.append(null, appends, messages);
    expect(appended.at(-1)).toEqual({ head: { id: known!.id, last: 1_000 }, waiting: 5_000 });
    await waitFor(() => got === messages.length, { what: 'all messages' });
    await bus.close();
  });

  test('a command that Redis refuses for good is no outage', async () => {
    const bus = await open();
    await raw.lpush(`${server.prefix}:list`, 'x');
    await expect(bus.kept(`${server.prefix}:list`)).rejects.toThrow(/^WRONGTYPE/);
    await bus.close();
  });

  test('a bus whose signal is aborted is closed', async () => {
    const abort = new AbortController();
    const options = { url: server.url, prefix: server.prefix, logger: silentLogger, signal: abort.signal };
    const bus = connectBus(options);
    expect(await bus.ping(30_000)).toBe(true);
    abort.abort();
    await expect(bus.publish([{ channel: 'x', text: '' }])).rejects.toThrow('the bus is closed');
    expect(await connectBus(options).ping(50)).toBe(false);
  });
});
