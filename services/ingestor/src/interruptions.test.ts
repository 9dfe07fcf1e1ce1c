import { PARTITIONS } from '@candlewire/contracts';
import { StoreMismatch, StoreUnavailable } from '@candlewire/store';
import { bar, waitFor } from '@candlewire/testkit';
import { CLOCK, delivery, ONE, P1, ScriptedSource, start, THREE, TWO } from './ingestor.suite';
import { RecordingBus } from './recording-bus.suite';

describe('another journal', () => {
  const script = [delivery(CLOCK, [bar({ symbol: ONE })]), delivery(CLOCK + 1, [bar({ symbol: TWO })])];
  const finished = [...script, delivery(CLOCK + 2, [], 'finished')];
  const hasFinished = (bus: RecordingBus) => bus.clocks().every((clock) => clock === CLOCK + 2);

  test('found by an append makes the source start again', async () => {
    const { bus, source } = start(new ScriptedSource(script));
    await waitFor(() => bus.entries.length === 2);
    bus.flush();
    source.push(delivery(CLOCK + 5, [bar({ symbol: THREE })]));
    await waitFor(() => bus.entries.length === 4);
    expect(source.plays).toBe(2);
    expect(bus.entries.slice(2)).toEqual(bus.entries.slice(0, 2));
  });

  test('is noticed within some seconds by a source that is silent', async () => {
    const { bus, source, passes, logged } = start(new ScriptedSource(script));
    await waitFor(() => bus.entries.length === 2);
    bus.flush();
    await passes(500, () => bus.entries.length >= 4);
    expect(source.plays).toBe(2);
    expect(logged.map(({ event }) => event)).toContain('the journal is another one: starting again');
  });

  test('is noticed by a source that has finished, which finishes again', async () => {
    const { bus, source, passes } = start(new ScriptedSource(finished));
    await waitFor(() => hasFinished(bus));
    bus.flush();
    await passes(500, () => hasFinished(bus));
    expect(source.plays).toBe(2);
    expect(bus.of(P1).filter((entry) => entry.bars.length > 0)).toHaveLength(2);
    await waitFor(() => bus.statuses.at(-1)!.state === 'finished');
  });

  test('is what a journal becomes that lost an entry', async () => {
    const { bus, source, passes } = start(new ScriptedSource(finished));
    await waitFor(() => hasFinished(bus));
    const [before] = await bus.journal.open(PARTITIONS);
    bus.setBack(0);
    await passes(500, () => source.plays === 2 && hasFinished(bus));
    const [after] = await bus.journal.open(PARTITIONS);
    expect(after!.id).not.toBe(before!.id);
    const { opened } = bus;
    await passes(500, () => bus.opened > opened + 2);
    expect(source.plays).toBe(2);
  });

  test('is none where nothing happened', async () => {
    const { bus, source, passes } = start(new ScriptedSource(finished));
    await passes(500, () => bus.opened > 3);
    expect(source.plays).toBe(1);
  });
});

describe('servers that are away', () => {
  test('a bus: what could not be appended is appended when it is back', async () => {
    const { bus, source, logged } = start();
    source.push(delivery(CLOCK, [bar({ symbol: ONE })]));
    await waitFor(() => bus.entries.length === 1);
    bus.away = true;
    source.push(delivery(CLOCK + 1, [bar({ symbol: ONE })]));
    await waitFor(() => logged.some(({ event }) => event === 'the bus is away'));
    bus.away = false;
    await waitFor(() => bus.entries.length === 2);
    expect(source.plays).toBe(1);
  });

  test('a bus at the start is waited for', async () => {
    const bus = new RecordingBus();
    bus.away = true;
    const { logged } = start(new ScriptedSource([delivery(CLOCK, [bar()])]), { bus });
    await waitFor(() => logged.some(({ event }) => event === 'the bus is away'));
    bus.away = false;
    await waitFor(() => bus.entries.length === 1);
  });

  test('a store is waited for before anything is said on the bus', async () => {
    let tries = 0;
    const migrate = async () => {
      if (++tries < 3) throw new StoreUnavailable(new Error('starting up'));
    };
    const wanted: unknown[] = [];
    const declare = async (identity: { source: 'replay'; calendar: 'nyse'; partitions: number }) => {
      expect(bus.keeps).toEqual([]);
      wanted.push(identity);
      return { ...identity, epoch: 'e' };
    };
    const bus = new RecordingBus();
    start(new ScriptedSource([delivery(CLOCK, [bar()])]), { bus, migrate, store: { declare: declare as never } });
    await waitFor(() => bus.entries.length === 1);
    expect(wanted).toEqual([{ source: 'replay', calendar: 'nyse', partitions: PARTITIONS }]);
  });

  test('a store of another source ends the run, with nothing said on the bus', async () => {
    const declare = () => Promise.reject(new StoreMismatch('this store is of the simulator'));
    const { bus, run } = start(new ScriptedSource([delivery(CLOCK, [bar()])]), { store: { declare } });
    await expect(run).rejects.toThrow('this store is of the simulator');
    expect(bus.keeps).toEqual([]);
    expect(bus.entries).toEqual([]);
  });

  test('none of them keeps the ingestor from stopping', async () => {
    const migrate = () => Promise.reject(new StoreUnavailable(new Error('away')));
    const one = start(undefined, { migrate });
    await waitFor(() => one.logged.some(({ event }) => event === 'waiting for the store'));
    one.stop.abort();
    await one.run;

    const two = start(new ScriptedSource([delivery(CLOCK, [bar()])]));
    two.bus.away = true;
    await waitFor(() => two.logged.some(({ event }) => event === 'the bus is away'));
    two.stop.abort();
    await two.run;
  });
});

describe('another ingestor that leads', () => {
  const script = [delivery(CLOCK, [bar({ symbol: ONE })], 'live')];

  test('has this one touch neither its source nor the bus', async () => {
    const bus = new RecordingBus();
    bus.token = '1:another';
    const { source, logged, passes } = start(new ScriptedSource(script), { bus });
    await waitFor(() => logged.some(({ event }) => event === 'standby: another ingestor leads'));
    let passed = 0;
    await passes(500, () => ++passed > 10);
    expect([source.plays, bus.opened, bus.keeps, bus.entries]).toEqual([0, 0, [], []]);
  });

  test('is found out by an append: the source is closed, nothing is said, until this one leads again', async () => {
    const { bus, source, ingestor, logged, passes } = start(new ScriptedSource(script));
    await waitFor(() => bus.entries.length === 1 && bus.statuses.at(-1)!.state === 'live');
    expect(ingestor.standing()).toEqual({ leads: true, queued: null, leftOut: 0 });
    const own = bus.token;
    bus.token = '2:another';
    const said = bus.keeps.length;
    source.push(delivery(CLOCK + 1, [bar({ symbol: TWO })]));
    await waitFor(() => logged.some(({ event }) => event === 'standby: another ingestor leads'));
    expect([bus.fenced, bus.entries.length, bus.published.length, bus.keeps.length]).toEqual([1, 1, 1, said]);
    expect(source.open).toBe(0);
    expect(logged).toContainEqual({
      event: 'no longer leader',
      fields: { token: own, reason: 'an append was refused' },
    });
    expect(ingestor.counters()).toMatchObject({ fenced: 1, terms: 1, termsLost: 1 });
    expect(ingestor.standing()).toEqual({ leads: false, queued: null, leftOut: null });
    bus.token = null;
    await passes(500, () => bus.entries.length === 2);
    expect([source.plays, source.open]).toEqual([2, 1]);
    expect(ingestor.counters()).toMatchObject({ fenced: 1, terms: 2, termsLost: 1 });
    expect(ingestor.standing().leads).toBe(true);
    await waitFor(() => bus.statuses.at(-1)!.state === 'live');
  });

  test('may have got another journal meanwhile, which is told', async () => {
    const { bus, logged, passes } = start(new ScriptedSource(script));
    await waitFor(() => bus.entries.length === 1);
    bus.flush();
    bus.token = null;
    await passes(500, () => bus.entries.length === 2);
    expect(logged.map(({ event }) => event)).toContain('the journal is another one: starting again');
  });
});

test('a stop lets go of the lead after the last word', async () => {
  const { bus, source, stop, run } = start();
  source.push(delivery(CLOCK, [bar()], 'live'));
  await waitFor(() => bus.statuses.at(-1)?.state === 'live');
  stop.abort();
  await run;
  expect([bus.token, bus.statuses.at(-1)!.state]).toEqual([null, 'connecting']);
});

test('a stop lets the append that is under way end', async () => {
  const { bus, source, ingestor, stop, run } = start();
  let unblock = () => {};
  await waitFor(() => source.plays === 1);
  bus.blocked = new Promise((resolve) => {
    unblock = resolve;
  });
  source.push(delivery(CLOCK, [bar()]));
  await waitFor(() => bus.entries.length === 1);
  let over = false;
  const end = run.then(() => {
    over = true;
  });
  stop.abort();
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  expect(over).toBe(false);
  unblock();
  await end;
  expect(ingestor.counters().bars).toBe(1);
});
