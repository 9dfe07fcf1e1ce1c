import { backoffMs, pause, retry } from './backoff';

afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

describe('backoffMs', () => {
  const bounds = (attempt: number, maxMs?: number): [number, number] => {
    jest.spyOn(Math, 'random').mockReturnValueOnce(0).mockReturnValueOnce(1);
    return [backoffMs(attempt, maxMs), backoffMs(attempt, maxMs)];
  };

  test('doubles from 100 ms up to its greatest, half of it random', () => {
    expect([1, 2, 3, 6, 7, 8].map((attempt) => bounds(attempt))).toEqual([
      [50, 100],
      [100, 200],
      [200, 400],
      [1_600, 3_200],
      [2_500, 5_000],
      [2_500, 5_000],
    ]);
    expect(bounds(9, 1_000)).toEqual([500, 1_000]);
  });

  test('stays at its greatest however long it goes on', () => {
    expect(bounds(1e9)).toEqual([2_500, 5_000]);
  });
});

describe('pause', () => {
  test('ends after its time', async () => {
    jest.useFakeTimers();
    const ended = jest.fn();
    const pausing = pause(1_000).then(ended);
    await jest.advanceTimersByTimeAsync(999);
    expect(ended).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    expect(ended).toHaveBeenCalledTimes(1);
    await pausing;
  });

  test('ends at once, without an error, where its signal is aborted or becomes so', async () => {
    jest.useFakeTimers();
    await pause(1e9, AbortSignal.abort());
    const later = new AbortController();
    const pausing = pause(1e9, later.signal);
    later.abort();
    await pausing;
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('retry', () => {
  test('gives the result of the first attempt that succeeds, and tells of each failure', async () => {
    jest.useFakeTimers();
    const failures: unknown[] = [];
    let attempts = 0;
    const result = retry(
      async () => {
        if (++attempts < 4) throw new Error(`failure ${attempts}`);
        return 'done';
      },
      { onFailure: (err, attempt) => failures.push([(err as Error).message, attempt]) },
    );
    await jest.advanceTimersByTimeAsync(100 + 200 + 400);
    await expect(result).resolves.toBe('done');
    expect(failures).toEqual([
      ['failure 1', 1],
      ['failure 2', 2],
      ['failure 3', 3],
    ]);
  });

  test('waits between attempts', async () => {
    jest.useFakeTimers();
    jest.spyOn(Math, 'random').mockReturnValue(1);
    const stop = new AbortController();
    const act = jest.fn(() => Promise.reject(new Error('away')));
    const ended = expect(retry(act, { signal: stop.signal })).rejects.toThrow('away');
    const attempts = [];
    for (const ms of [0, 99, 1, 199, 1]) {
      await jest.advanceTimersByTimeAsync(ms);
      attempts.push(act.mock.calls.length);
    }
    stop.abort();
    await ended;
    expect(attempts).toEqual([1, 1, 2, 2, 3]);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('ends with the last error when its signal is aborted, during the attempt or the wait', async () => {
    const duringWait = new AbortController();
    const waiting = retry(() => Promise.reject(new Error('wait')), {
      signal: duringWait.signal,
      onFailure: () => void setImmediate(() => duringWait.abort()),
    });
    await expect(waiting).rejects.toThrow('wait');

    const duringAttempt = new AbortController();
    const onFailure = jest.fn();
    const act = jest.fn(async () => {
      duringAttempt.abort();
      throw new Error('attempt');
    });
    await expect(retry(act, { signal: duringAttempt.signal, onFailure })).rejects.toThrow('attempt');
    expect(act).toHaveBeenCalledTimes(1);
    expect(onFailure).not.toHaveBeenCalled();
  });

  test('gives up where its listener throws', async () => {
    const act = jest.fn(() => Promise.reject(new Error('away')));
    const onFailure = () => {
      throw new Error('enough');
    };
    await expect(retry(act, { onFailure })).rejects.toThrow('enough');
    expect(act).toHaveBeenCalledTimes(1);
  });
});
