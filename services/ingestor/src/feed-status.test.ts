import { bar, waitFor } from '@candlewire/testkit';
import { CLOCK, delivery, ONE, start } from './ingestor.suite';

describe('the feed status', () => {
  test('is kept at each change and every two seconds', async () => {
    const { bus, source, time, passes } = start();
    await waitFor(() => bus.statuses.length === 1);
    expect(bus.keeps[0]!.channel).toBe('test:status:feed');
    const begin = new Date(time.now()).toISOString().replace('.000', '');
    expect(bus.statuses[0]).toEqual({
      kind: 'replay',
      state: 'connecting',
      last_bar_at: null,
      clock: null,
      updated_at: begin,
      bars: 0,
      refused: {},
    });
    source.push(delivery(CLOCK, [bar({ symbol: ONE })], 'live'));
    await waitFor(() => bus.statuses.length === 2);
    expect(bus.statuses[1]).toMatchObject({ state: 'live', last_bar_at: begin, clock: '2025-11-03T15:00:00Z' });
    await passes(2_000, () => bus.statuses.length === 3);
    expect(bus.statuses[2]).toMatchObject({ state: 'live', last_bar_at: begin });
    expect(Date.parse(bus.statuses[2]!.updated_at) - Date.parse(begin)).toBeGreaterThanOrEqual(2_000);
  });

  test('says why a source failed, withholds its clock, and the ingestor stays', async () => {
    const { bus, source, logged, passes } = start();
    source.push(delivery(CLOCK, [bar({ symbol: ONE })], 'live'), new Error('unknown header'));
    await waitFor(() => bus.statuses.at(-1)!.state === 'failed');
    expect(bus.statuses.at(-1)).toMatchObject({ reason: 'unknown header', clock: null });
    expect(logged).toContainEqual({ event: 'the source failed', fields: { reason: 'unknown header' } });
    const { opened } = bus;
    await passes(500, () => bus.opened > opened);
    expect(source.plays).toBe(1);
  });

  test.each([
    ['live', 'connecting'],
    ['finished', 'finished'],
  ] as const)('of a source that was %s is %s once the ingestor has stopped', async (before, after) => {
    const { bus, source, stop, run } = start();
    source.push(delivery(CLOCK, [bar()], before));
    await waitFor(() => bus.statuses.at(-1)?.state === before);
    stop.abort();
    await run;
    expect(bus.statuses.at(-1)!.state).toBe(after);
  });
});
