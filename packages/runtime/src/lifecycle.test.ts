import { type Phase, runPhases } from './lifecycle';
import { type Fields, type Logger, silentLogger } from './logger';

function recordingLogger(): Logger & { readonly lines: [event: string, fields?: Fields][] } {
  const lines: [string, Fields?][] = [];
  return { ...silentLogger, lines, error: (event, fields) => void lines.push(fields ? [event, fields] : [event]) };
}

describe('runPhases', () => {
  afterEach(() => jest.useRealTimers());

  test('runs the phases one after the other, in order', async () => {
    const steps: string[] = [];
    const phase = (name: string): Phase => ({
      name,
      run: async () => {
        steps.push(`${name} begins`);
        await new Promise((resolve) => setImmediate(resolve));
        steps.push(`${name} ends`);
      },
    });
    await expect(runPhases([phase('a'), phase('b')], silentLogger)).resolves.toBe(true);
    expect(steps).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
  });

  test('tries every phase, whatever the others do', async () => {
    const logger = recordingLogger();
    const last = jest.fn();
    const thrown = new Error('thrown');
    const rejected = new Error('rejected');
    const phases: Phase[] = [
      {
        name: 'throws',
        run: () => {
          throw thrown;
        },
      },
      { name: 'rejects', run: () => Promise.reject(rejected) },
      { name: 'last', run: last },
    ];
    await expect(runPhases(phases, logger)).resolves.toBe(false);
    expect(last).toHaveBeenCalledTimes(1);
    expect(logger.lines).toEqual([
      ['shutdown phase failed', { phase: 'throws', err: thrown }],
      ['shutdown phase failed', { phase: 'rejects', err: rejected }],
    ]);
  });

  test('goes on after the deadline of a phase that never ends', async () => {
    jest.useFakeTimers();
    const logger = recordingLogger();
    const last = jest.fn();
    const result = runPhases(
      [
        { name: 'hangs', run: () => new Promise(() => {}), deadlineMs: 500 },
        { name: 'last', run: last },
      ],
      logger,
    );
    await jest.advanceTimersByTimeAsync(499);
    expect(last).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    await expect(result).resolves.toBe(false);
    expect(last).toHaveBeenCalledTimes(1);
    expect(logger.lines[0]![1]).toMatchObject({ phase: 'hangs', err: { message: 'not done within 500 ms' } });
  });

  test('gives a phase ten seconds where it names no deadline', async () => {
    jest.useFakeTimers();
    let clean: boolean | null = null;
    const result = runPhases([{ name: 'hangs', run: () => new Promise(() => {}) }], silentLogger).then((ended) => {
      clean = ended;
    });
    await jest.advanceTimersByTimeAsync(9_999);
    expect(clean).toBeNull();
    await jest.advanceTimersByTimeAsync(1);
    await result;
    expect(clean).toBe(false);
  });

  test('leaves no timer behind', async () => {
    jest.useFakeTimers();
    await runPhases([{ name: 'quick', run: () => {} }], silentLogger);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('a phase that fails after its deadline ends nothing', async () => {
    jest.useFakeTimers();
    let fail: (err: Error) => void = () => {};
    const run = () =>
      new Promise<void>((_, reject) => {
        fail = reject;
      });
    const result = runPhases([{ name: 'late', run, deadlineMs: 10 }], silentLogger);
    await jest.advanceTimersByTimeAsync(10);
    await expect(result).resolves.toBe(false);
    // Unhandled, this rejection would end the process.
    fail(new Error('too late'));
    jest.useRealTimers();
    await new Promise((resolve) => setImmediate(resolve));
  });
});
