import { type Bus, connectBus } from '@candlewire/bus';
import { silentLogger } from '@candlewire/runtime';
import { describeWithRedis, type TestRedis, testRedis, waitFor } from '@candlewire/testkit';
import { proxyTo, type TestProxy } from '../rig.suite';
import { createDemandLeases } from './demand-leases';
import { createHub, type HubMessage } from './hub';

describeWithRedis('the hub', () => {
  let redis: TestRedis;
  let proxy: TestProxy;
  let publisher: Bus;
  let bus: Bus;
  let calls: string[];
  /** The bus, and what the hub asks of it. */
  let watched: Bus;
  const channel = () => `${redis.prefix}:x`;

  beforeEach(async () => {
    redis = (await testRedis())!;
    proxy = await proxyTo(redis.url);
    publisher = connectBus({ url: redis.url, prefix: redis.prefix, logger: silentLogger });
    bus = connectBus({ url: proxy.url, prefix: redis.prefix, logger: silentLogger });
    calls = [];
    watched = Object.assign(Object.create(bus) as Bus, {
      async subscribe(name: string, listener: (text: string) => void) {
        calls.push(`+${name.slice(-1)}`);
        const unsubscribe = await bus.subscribe(name, listener);
        return async () => {
          calls.push(`-${name.slice(-1)}`);
          await unsubscribe();
        };
      },
    });
  });
  afterEach(async () => {
    await Promise.all([bus.close(), publisher.close(), proxy.close()]);
    await redis.close();
  });

  test('opens a channel once, hands the same bytes to all, and lets go after the last and a while', async () => {
    const hub = createHub(watched, silentLogger, { lingerMs: 50 });
    const heard: HubMessage[] = [];
    const failing = {
      message() {
        throw new Error('a bug');
      },
    };
    const listener = { message: (message: HubMessage) => void heard.push(message) };
    const all = [failing, listener, { ...listener }].map((one) => hub.listen(channel(), one));
    await Promise.all(all.map(({ ready }) => ready));
    expect(hub.last(channel())).toBeNull();
    await publisher.publish([{ channel: channel(), text: 'é' }]);
    await waitFor(() => heard.length === 2);
    expect(heard[0]).toBe(heard[1]);
    expect(heard[0]).toEqual({ text: 'é', bytes: Buffer.from('é') });
    expect(hub.last(channel())).toBe(heard[0]);

    for (const listening of all) listening.stop();
    const back = hub.listen(channel(), listener);
    await back.ready;
    back.stop();
    back.stop();
    await waitFor(() => calls.length === 2);
    expect(calls).toEqual(['+x', '-x']);
    expect(hub.last(channel())).toBeNull();
    await hub.listen(channel(), listener).ready;
    expect(calls).toEqual(['+x', '-x', '+x']);
    hub.close();
    await waitFor(() => calls.length === 4);
  });

  test('says when messages may have been lost, and vouches for no older one', async () => {
    const hub = createHub(watched, silentLogger);
    let lost = 0;
    await hub.listen(channel(), { message: () => {}, lost: () => lost++ }).ready;
    await publisher.publish([{ channel: channel(), text: '1' }]);
    await waitFor(() => hub.last(channel()) !== null);
    await proxy.cut();
    await proxy.heal();
    await waitFor(() => lost === 1);
    expect(hub.last(channel())).toBeNull();
    hub.close();
  });

  test('opens no more channels than it may', async () => {
    const hub = createHub(watched, silentLogger, { channelsMax: 1 });
    await hub.listen(channel(), { message: () => {} }).ready;
    await expect(hub.listen(`${redis.prefix}:y`, { message: () => {} }).ready).rejects.toThrow('more than 1 channels');
    await hub.listen(channel(), { message: () => {} }).ready;
    hub.close();
  });

  test('leases of demand are renewed as long as somebody holds them, and survive a Redis that forgets', async () => {
    const hub = createHub(bus, silentLogger);
    const store = { symbols: async () => [] };
    const symbolsChannel = `${redis.prefix}:symbols`;
    const leases = createDemandLeases({ bus, hub, store, channel: symbolsChannel, logger: silentLogger, leaseMs: 400 });
    const [first, second] = [leases.hold('AAPL'), leases.hold('AAPL')];
    const wanted = () => publisher.demand.wanted();
    await waitFor(async () => (await wanted()).includes('AAPL'));
    await publisher.demand.drop('AAPL');
    await waitFor(async () => (await wanted()).includes('AAPL'));
    first();
    first();
    await publisher.demand.drop('AAPL');
    await waitFor(async () => (await wanted()).includes('AAPL'));
    second();
    await waitFor(async () => (await wanted()).length === 0);
    leases.close();
    hub.close();
  });
});
