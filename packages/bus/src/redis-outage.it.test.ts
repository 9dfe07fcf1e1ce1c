import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedis, type RedisBinary } from '@candlewire/embedded';
import { type Fields, type Logger, silentLogger } from '@candlewire/runtime';
import { describeWithRedis, freePort, waitFor } from '@candlewire/testkit';
import type { Bus } from './bus';
import { BusClosed, BusUnavailable } from './errors';
import { connectBus } from './redis-bus';

const PREFIX = 'test:outage';

/** A server of this suite's own, to be killed and started again at the same address. */
class OwnRedis {
  readonly folder = mkdtempSync(join(tmpdir(), 'candlewire-bus-'));
  private process: ChildProcess | undefined;

  constructor(
    private readonly binary: RedisBinary,
    readonly port: number,
    private readonly password = '',
  ) {}

  get url(): string {
    return `redis://:${this.password}@127.0.0.1:${this.port}`;
  }

  /** Resolves when it answers. Every write is on disk before it is acknowledged. */
  async start(): Promise<void> {
    const args = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.folder, '--save', ''];
    args.push('--appendonly', 'yes', '--appendfsync', 'always', '--requirepass', this.password);
    this.process = spawn(this.binary.file, args, { env: { ...this.binary.env }, stdio: 'ignore' });
    const probe = connectBus({ url: this.url, prefix: PREFIX, logger: silentLogger });
    await waitFor(() => probe.ping(), { what: 'a Redis of our own' });
    await probe.close();
  }

  signal(signal: NodeJS.Signals): void {
    this.process?.kill(signal);
  }

  async kill(): Promise<void> {
    const { process } = this;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    const gone = new Promise((resolve) => process.once('exit', resolve));
    process.kill('SIGKILL');
    await gone;
  }

  forget(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describeWithRedis('a bus whose Redis goes and comes', () => {
  let binary: RedisBinary;
  let redis: OwnRedis;
  let bus: Bus;
  let events: string[];
  let details: Fields[];

  beforeAll(async () => {
    const found = await findRedis({ download: true, logger: silentLogger });
    if (typeof found === 'string') throw new Error(found);
    binary = found;
  });
  beforeEach(async () => {
    redis = new OwnRedis(binary, await freePort(), 'secret');
    events = [];
    details = [];
    const note = (event: string, fields: Fields = {}) => {
      events.push(event);
      details.push(fields);
    };
    const logger: Logger = { ...silentLogger, error: note, warn: note, info: note };
    bus = connectBus({ url: redis.url, prefix: PREFIX, logger });
  });
  afterEach(async () => {
    await bus.close();
    await redis.kill();
    redis.forget();
  });

  const hello = { channel: `${PREFIX}:hello`, text: 'hello' };
  /** Both connections are there, and what was logged until then is forgotten. */
  async function connected(): Promise<void> {
    await waitFor(() => events.at(-1) === 'redis connected', { what: 'both connections' });
    events.length = details.length = 0;
  }

  const nextReconnect = () => new Promise<void>((resolve) => bus.onReconnect(resolve));

  async function rejection(act: () => Promise<unknown>): Promise<{ err: unknown; afterMs: number }> {
    const began = performance.now();
    const err = await act().then(
      () => 'nothing',
      (reason: unknown) => reason,
    );
    return { err, afterMs: performance.now() - began };
  }

  test('before its first start: commands fail after a moment, a subscription waits, and all works once it is there', async () => {
    const got: string[] = [];
    let reconnects = 0;
    bus.onReconnect(() => reconnects++);
    const subscribed = bus.subscribe(hello.channel, (text) => got.push(text));
    const calls = [() => bus.publish([hello]), () => bus.kept('x'), () => bus.journal.open(1), () => bus.keep(hello)];
    for (const { err, afterMs } of await Promise.all(calls.map(rejection))) {
      expect(err).toBeInstanceOf(BusUnavailable);
      expect(err).toMatchObject({ retryable: true });
      expect(afterMs).toBeLessThan(3_500);
    }
    expect(await bus.ping(50)).toBe(false);
    await redis.start();
    await subscribed;
    await waitFor(() => bus.ping(), { what: 'an answer' });
    await bus.publish([hello]);
    await waitFor(() => got.length > 0);
    expect(reconnects).toBe(0);
    expect(events).toEqual(['redis away', 'redis connected']);
    expect(details[0]).toMatchObject({ err: { code: 'ECONNREFUSED' } });
    expect(details[1]).toEqual({ awayMs: expect.any(Number) });
  });

  test('a command that is called while Redis comes back waits for it', async () => {
    const published = bus.publish([hello]);
    await redis.start();
    // Whether the start took longer than a command waits depends on the machine.
    await published.catch((err) => expect(err).toBeInstanceOf(BusUnavailable));
    await waitFor(() => bus.ping());
    await expect(bus.publish([hello])).resolves.toBeUndefined();
  });

  test('killed and started again with its data: subscriptions and journals go on', async () => {
    await redis.start();
    const got: string[] = [];
    for (const channel of ['a', 'b', hello.channel]) await bus.subscribe(channel, (text) => got.push(text));
    await connected();
    const [opened] = await bus.journal.open(1);
    const entry = (last: number) => ({ partition: 0, known: { id: opened!.id, last }, text: `${last + 1}`, bars: 1 });
    await bus.journal.append(null, [entry(0), entry(1)]);
    await bus.keep(hello);
    await waitFor(() => got.length > 0);
    const back = nextReconnect();
    await redis.kill();
    await redis.start();
    await back;
    // The callback is the promise: whatever is published from now on is heard.
    await waitFor(() => bus.ping());
    await bus.publish([{ ...hello, text: 'again' }]);
    await waitFor(() => got.length > 1, { what: 'a message after the reconnect' });
    expect(got).toEqual(['hello', 'again']);
    expect(await bus.kept(hello.channel)).toBe('hello');
    const [appended] = await bus.journal.append(null, [entry(2)]);
    expect(appended).toEqual({ head: { id: opened!.id, last: 3 }, waiting: 3 });
    const { head, entries } = await bus.journal.read(0, { id: opened!.id, last: 2 }, 10);
    expect([head.id, entries.map(({ text }) => text)]).toEqual([opened!.id, ['3']]);
    expect(events).toEqual(['redis away', 'redis connected']);
  });

  test('killed and started again without its data: append and read both find another journal', async () => {
    await redis.start();
    const heads = await bus.journal.open(2);
    const appended = await bus.journal.append(
      null,
      heads.map((known, partition) => ({ partition, known, text: 'x', bars: 1 })),
    );
    await connected();
    const back = nextReconnect();
    await redis.kill();
    redis.forget();
    redis = new OwnRedis(binary, redis.port, 'secret');
    await redis.start();
    await back;
    await waitFor(() => bus.ping());
    const [first] = await bus.journal.append(null, [
      { partition: 0, known: appended[0]!.head, text: 'never', bars: 1 },
    ]);
    expect(first!.head).toEqual({ id: expect.not.stringContaining(heads[0]!.id), last: 0 });
    const second = await bus.journal.read(1, appended[1]!.head, 10);
    expect(second).toEqual({ head: { id: expect.not.stringContaining(heads[1]!.id), last: 0 }, entries: [] });
    expect(await bus.journal.open(2)).toEqual([first!.head, second.head]);
  });

  test('killed with commands under way: they are rejected at once, not sent again', async () => {
    await redis.start();
    await waitFor(() => bus.ping());
    const [known] = await bus.journal.open(1);
    redis.signal('SIGSTOP');
    const append = () => bus.journal.append(null, [{ partition: 0, known: known!, text: 'x', bars: 1 }]);
    const pending = Promise.all([rejection(append), rejection(() => bus.publish([hello]))]);
    await redis.kill();
    for (const { err, afterMs } of await pending) {
      expect(err).toBeInstanceOf(BusUnavailable);
      expect(afterMs).toBeLessThan(2_000);
    }
    await redis.start();
    await waitFor(() => bus.ping());
    expect(await bus.journal.open(1)).toEqual([known]);
  });

  test('a Redis that does not answer any more is given up, and found again when it does', async () => {
    await redis.start();
    const got: string[] = [];
    await bus.subscribe(hello.channel, (text) => got.push(text));
    await connected();
    redis.signal('SIGSTOP');
    expect(await bus.ping(100)).toBe(false);
    const { err, afterMs } = await rejection(() => bus.kept('x'));
    expect(err).toBeInstanceOf(BusUnavailable);
    expect(afterMs).toBeLessThan(8_000);
    redis.signal('SIGCONT');
    await waitFor(() => bus.ping(), { what: 'an answer' });
    await waitFor(async () => {
      await bus.publish([hello]);
      return got.length > 0;
    });
  });

  test('a subscriber alone notices that nobody is there any more', async () => {
    await redis.start();
    await bus.subscribe(hello.channel, () => {});
    await connected();
    const back = nextReconnect();
    redis.signal('SIGSTOP');
    // No command is sent here: what finds it out is the subscriber's own probe.
    await waitFor(() => events.includes('redis away'), { what: 'the loss', timeoutMs: 30_000 });
    expect(details[events.indexOf('redis away')]).toMatchObject({ connection: 'subscriber' });
    redis.signal('SIGCONT');
    await back;
  });

  test('a wrong password is an outage with its reason, logged once, and no secret in it', async () => {
    await redis.start();
    const url = redis.url.replace('secret', 'hidden');
    const lines: string[] = [];
    const note = (event: string, fields?: Fields) => lines.push(`${event} ${(fields?.err as Error)?.message}`);
    const locked = connectBus({ url, prefix: PREFIX, logger: { ...silentLogger, warn: note, error: note } });
    const { err } = await rejection(() => locked.publish([hello]));
    expect(err).toBeInstanceOf(BusUnavailable);
    // The command may have waited long enough before the server had its say.
    await waitFor(() => lines.length > 0, { what: 'the reason' });
    expect(lines).toEqual([expect.stringMatching(/^redis away WRONGPASS/)]);
    expect(`${lines} ${(err as Error).stack}`).not.toContain('hidden');
    await locked.close();
  });

  test('leaving a channel while Redis is away does not wait for it', async () => {
    await redis.start();
    const offs = await Promise.all([1, 2].map(() => bus.subscribe(hello.channel, () => {})));
    await connected();
    await redis.kill();
    await waitFor(() => events.includes('redis away'));
    // One of two, then the last.
    await offs[0]!();
    await offs[1]!();
    expect(await bus.ping(50)).toBe(false);
  });

  test('closing while Redis is away ends at once, and with it everybody who waits', async () => {
    const waiting = [bus.publish([hello]), bus.subscribe(hello.channel, () => {}), bus.journal.open(1)];
    const ends = waiting.map((call) => rejection(() => call));
    await bus.close();
    for (const { err, afterMs } of await Promise.all(ends)) {
      expect(err).toBeInstanceOf(BusClosed);
      expect(afterMs).toBeLessThan(1_000);
    }
  });
});
