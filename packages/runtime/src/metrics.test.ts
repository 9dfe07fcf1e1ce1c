import { createMetrics } from './metrics';

const fresh = () => createMetrics({ ofProcess: false });

/** Lines of samples, without comments. */
const samples = (text: string) => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

describe('metrics', () => {
  test('are read when somebody asks, each time anew', async () => {
    const metrics = fresh();
    let bars = 1;
    const refused: Record<string, number> = { bad_time: 2 };
    metrics.counter('t_bars_total', 'Bars', () => bars);
    metrics.counterBy('reason', 't_refused_total', 'Refused', () => refused);
    expect(samples(await metrics.text())).toEqual([
      'candlewire_t_bars_total 1',
      'candlewire_t_refused_total{reason="bad_time"} 2',
    ]);
    bars = 5;
    refused.bad_price = 1;
    expect(samples(await metrics.text())).toEqual([
      'candlewire_t_bars_total 5',
      'candlewire_t_refused_total{reason="bad_time"} 2',
      'candlewire_t_refused_total{reason="bad_price"} 1',
    ]);
  });

  test('a gauge falls again, and what is gone from it is gone', async () => {
    const metrics = fresh();
    let owned: Record<string, number> = { 1: 4, 2: 7 };
    let held = 2;
    metrics.gauge('t_held', 'Held', () => held);
    metrics.gaugeBy('partition', 't_waiting', 'Waiting', async () => owned);
    await metrics.text();
    held = 1;
    owned = { 2: 3 };
    expect(samples(await metrics.text())).toEqual(['candlewire_t_held 1', 'candlewire_t_waiting{partition="2"} 3']);
  });

  test('what says nothing, fails or takes too long has no samples; the others stand', async () => {
    const metrics = fresh();
    metrics.gauge('t_silent', 'Says nothing', () => null);
    metrics.gauge('t_failing', 'Fails', () => Promise.reject(new Error('away')));
    metrics.gaugeBy('partition', 't_throwing', 'Throws', () => {
      throw new Error('away');
    });
    metrics.gauge('t_hanging', 'Hangs', () => new Promise<number>(() => {}));
    metrics.gauge('t_well', 'Well', () => 1);
    const text = await metrics.text();
    expect(samples(text)).toEqual(['candlewire_t_well 1']);
    for (const name of ['silent', 'failing', 'throwing', 'hanging'])
      expect(text).toContain(`# TYPE candlewire_t_${name} gauge`);
  });

  test('scrapes at the same time do not add up', async () => {
    const metrics = fresh();
    metrics.counter('t_total', 'Slow', async () => new Promise((resolve) => setImmediate(resolve, 3)));
    const texts = await Promise.all([metrics.text(), metrics.text(), metrics.text()]);
    expect(texts.flatMap(samples)).toEqual(Array.from({ length: 3 }, () => 'candlewire_t_total 3'));
  });

  test('durations are counted in buckets of seconds', async () => {
    const metrics = fresh();
    const took = metrics.seconds('t_seconds', 'Duration', 'route', 'status');
    took.observe(0.02, '/api', '2xx');
    took.observe(3, '/api', '2xx');
    const lines = samples(await metrics.text());
    expect(lines).toContain('candlewire_t_seconds_bucket{le="0.01",route="/api",status="2xx"} 0');
    expect(lines).toContain('candlewire_t_seconds_bucket{le="0.025",route="/api",status="2xx"} 1');
    expect(lines).toContain('candlewire_t_seconds_sum{route="/api",status="2xx"} 3.02');
    expect(lines).toContain('candlewire_t_seconds_count{route="/api",status="2xx"} 2');
  });

  test('a name is taken once', () => {
    const metrics = fresh();
    metrics.gauge('t_held', 'Held', () => 0);
    expect(() => metrics.counter('t_held', 'Held', () => 0)).toThrow('already been registered');
  });

  test('tell of the process as well', async () => {
    const text = await createMetrics().text();
    for (const name of ['nodejs_eventloop_lag_p99_seconds', 'nodejs_heap_size_used_bytes', 'process_cpu_seconds_total'])
      expect(text).toMatch(new RegExp(`^${name} [\\d.e+-]+$`, 'm'));
  });
});
