import { boundedLog, createLogger, type Fields, silentLogger } from './logger';

describe('boundedLog', () => {
  beforeEach(() => jest.useFakeTimers({ now: 1_000_000 }));
  afterEach(() => jest.useRealTimers());

  function recorded(options?: { first?: number; everyMs?: number }) {
    const lines: Fields[] = [];
    const warn = (event: string, fields?: Fields) => void lines.push({ event, ...fields });
    return { lines, log: boundedLog({ ...silentLogger, warn }, 'bar refused', options) };
  }

  test('logs the first few, and then one in a while with how many were left out', () => {
    const { lines, log } = recorded({ first: 2, everyMs: 1_000 });
    for (let line = 1; line <= 5; line++) log({ line });
    expect(lines).toEqual([
      { event: 'bar refused', line: 1 },
      { event: 'bar refused', line: 2 },
    ]);
    jest.advanceTimersByTime(999);
    log({ line: 6 });
    expect(lines).toHaveLength(2);
    jest.advanceTimersByTime(1);
    log({ line: 7 });
    log({ line: 8 });
    expect(lines[2]).toEqual({ event: 'bar refused', line: 7, unsaid: 4 });
    expect(lines).toHaveLength(3);
  });

  test('counts anew after each line', () => {
    const { lines, log } = recorded({ first: 1, everyMs: 1_000 });
    log({ line: 1 });
    log({ line: 2 });
    jest.advanceTimersByTime(1_000);
    log({ line: 3 });
    jest.advanceTimersByTime(1_000);
    log({ line: 4 });
    expect(lines.slice(1)).toEqual([
      { event: 'bar refused', line: 3, unsaid: 1 },
      { event: 'bar refused', line: 4 },
    ]);
  });

  test('logs five and then one in ten seconds where nothing else is said', () => {
    const { lines, log } = recorded();
    for (let line = 1; line <= 6; line++) log({ line });
    expect(lines).toHaveLength(5);
    jest.advanceTimersByTime(10_000);
    log({ line: 7 });
    expect(lines[5]).toEqual({ event: 'bar refused', line: 7, unsaid: 1 });
  });
});

describe('createLogger', () => {
  let written: string[];
  beforeEach(() => {
    written = [];
    // The transport writes to the console's stream, past which nothing of it can be read.
    const stderr = (console as unknown as { _stderr?: NodeJS.WriteStream })._stderr ?? process.stderr;
    jest.spyOn(stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0);
  });
  afterEach(() => jest.restoreAllMocks());

  test('writes one JSON line for each event, with the fields of its parents', () => {
    const logger = createLogger('gateway', 'info', false).child({ partition: 3 });
    logger.info('listening', { port: 8_000 });
    expect(written).toHaveLength(1);
    expect(JSON.parse(written[0]!)).toMatchObject({
      service: 'gateway',
      level: 'info',
      message: 'listening',
      partition: 3,
      port: 8_000,
    });
  });

  test('writes nothing below its level', () => {
    createLogger('gateway', 'warn', false).info('listening');
    expect(written).toEqual([]);
  });

  test('reduces an error to code and message', () => {
    const err = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    createLogger('gateway', 'info', false).warn('redis away', { err });
    expect(JSON.parse(written[0]!).err).toBe('ECONNREFUSED: refused');
  });

  test('writes readable lines for a terminal', () => {
    createLogger('gateway', 'info', true).info('listening', { host: 'localhost', ports: [1, 2] });
    expect(written[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}gateway {4}listening host=localhost ports=\[1,2\]\n$/);
  });
});
