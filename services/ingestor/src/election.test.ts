import { BusUnavailable, createInProcessBus, type Leader } from '@candlewire/bus';
import { type Fields, type Logger, silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import { createElection, LEASE_MS, type Term } from './election';
import { type ManualTime, manualTime } from './manual-time.suite';
import { systemTime, type Time } from './time';

/** Long enough for a busy machine, short enough to be waited for. */
const SHORT_MS = 200;
/** For a lease that nothing ends but what the test does: longer than a machine may stand still. */
const PATIENT_MS = 600_000;

interface Candidate {
  readonly terms: Term[];
  readonly logged: { event: string; fields: Fields }[];
  readonly stop: AbortController;
  readonly run: Promise<void>;
}

interface CandidateOptions {
  readonly leaseMs?: number;
  readonly time?: Time;
  readonly elapsedMs?: () => number;
  readonly over?: Partial<Leader>;
  /** After a term's end was announced. */
  readonly afterwards?: () => Promise<void>;
}

let hub: ReturnType<typeof createInProcessBus>;
let candidates: Candidate[];

beforeEach(() => {
  hub = createInProcessBus({ logger: silentLogger });
  candidates = [];
});
afterEach(async () => {
  for (const { stop, run } of candidates) {
    stop.abort();
    await run.catch(() => {});
  }
});

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve());
    return undefined;
  });
}

function run(owner: string, options: CandidateOptions = {}): Candidate {
  const { leaseMs = PATIENT_MS, time = systemTime, elapsedMs, over, afterwards } = options;
  const { leader } = hub.connect();
  const plain: Leader = {
    acquire: (...call) => leader.acquire(...call),
    renew: (...call) => leader.renew(...call),
    release: (...call) => leader.release(...call),
    onRelease: (...call) => leader.onRelease(...call),
  };
  const logged: Candidate['logged'] = [];
  const log = (event: string, fields: Fields = {}) => void logged.push({ event, fields });
  const logger: Logger = { ...silentLogger, error: log, warn: log, info: log };
  const clock = elapsedMs === undefined ? {} : { elapsedMs };
  const election = createElection({ leader: { ...plain, ...over }, owner, leaseMs, time, logger, ...clock });
  const terms: Term[] = [];
  const stop = new AbortController();
  const serve = async (term: Term) => {
    terms.push(term);
    await ended(term.signal);
    await afterwards?.();
  };
  const candidate = { terms, logged, stop, run: election.run(serve, stop.signal) };
  candidate.run.catch(() => {});
  candidates.push(candidate);
  return candidate;
}

const leads = ({ terms }: Candidate) => terms.at(-1)?.isHeld() ?? false;
const events = ({ logged }: Candidate) => logged.map(({ event }) => event);
const reasons = ({ logged }: Candidate) =>
  logged.filter(({ event }) => event === 'no longer leader').map(({ fields }) => fields.reason);
const STANDBY = 'standby: another ingestor leads';

test('a lease and a try are no longer than ten seconds', () => {
  expect(LEASE_MS).toBeLessThanOrEqual(9_500);
});

test('one of several leads, and the others say once that they stand by', async () => {
  const time = manualTime();
  const one = run('one', { time });
  await waitFor(() => leads(one));
  const others = ['two', 'three'].map((owner) => run(owner, { time }));
  await waitFor(() => others.every((other) => events(other).includes(STANDBY)));
  for (let i = 0; i < 20; i++) {
    time.advance(500);
    await new Promise(setImmediate);
  }
  expect(others.map(events)).toEqual([[STANDBY], [STANDBY]]);
  expect(one.logged).toEqual([{ event: 'leader', fields: { token: one.terms[0]!.token } }]);
});

test('a leader that is told to stop hands over before any time has passed', async () => {
  const time = manualTime();
  const one = run('one', { time });
  await waitFor(() => leads(one));
  const two = run('two', { time });
  await waitFor(() => events(two).includes(STANDBY));
  one.stop.abort();
  await one.run;
  await waitFor(() => leads(two));
  expect(leads(one)).toBe(false);
  expect(events(one)).toEqual(['leader']);
});

test('the lead of one that died is taken when its lease has run out', async () => {
  const { leader } = hub.connect();
  const token = (await leader.acquire('dead', PATIENT_MS))!;
  const two = run('two');
  await waitFor(() => events(two).includes(STANDBY));
  expect(await leader.renew(token, SHORT_MS)).toBe(true);
  await waitFor(() => leads(two));
  expect(events(two)).toEqual([STANDBY, 'leader']);
});

test('a leader renews its lease again and again', async () => {
  const { leader } = hub.connect();
  const time = manualTime();
  const begun = time.elapsedMs();
  const renewals: number[] = [];
  const renew: Leader['renew'] = (token, leaseMs) => {
    renewals.push(leaseMs);
    return leader.renew(token, leaseMs);
  };
  const one = run('one', { time, elapsedMs: time.elapsedMs, over: { renew } });
  await waitFor(() => leads(one));
  await waitFor(() => {
    time.advance(PATIENT_MS / 9);
    return renewals.length >= 8;
  });
  // By its own clock the lease would have run out more than once.
  expect(time.elapsedMs() - begun).toBeGreaterThan(2 * PATIENT_MS);
  expect([one.terms.length, leads(one)]).toEqual([1, true]);
  expect(new Set(renewals)).toEqual(new Set([PATIENT_MS]));
  expect(await leader.acquire('other', SHORT_MS)).toBeNull();
});

describe('a leader that cannot renew', () => {
  const away: Leader['renew'] = () => Promise.reject(new BusUnavailable('away'));
  const hanging: Leader['renew'] = () => new Promise(() => {});

  test.each([
    ['because the bus is away', away],
    ['because nobody answers', hanging],
  ])('%s ends its term before its lease', async (_, renew) => {
    let now = 0;
    const time = manualTime();
    const over = { renew, acquire: async () => (now === 0 ? '1:one' : null), release: async () => {} };
    const one = run('one', { leaseMs: LEASE_MS, time, elapsedMs: () => now, over });
    await waitFor(() => one.terms.length === 1);
    const step = async (ms: number) => {
      now += ms;
      time.advance(ms);
      for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    };
    for (let i = 0; i < 70; i++) await step(100);
    expect(leads(one)).toBe(true);
    for (let i = 0; i < 15; i++) await step(100);
    expect([leads(one), one.terms[0]!.signal.aborted, now < LEASE_MS]).toEqual([false, true, true]);
    if (renew === away) expect(reasons(one)).toEqual(['not renewed in time']);
  });

  test('knows it from the clock alone, before any timer of it has fired', async () => {
    let now = 0;
    const one = run('one', { leaseMs: LEASE_MS, time: manualTime(), elapsedMs: () => now });
    await waitFor(() => leads(one));
    now = LEASE_MS;
    expect(leads(one)).toBe(false);
  });
});

test('a lead that is gone ends the term, and is taken again under another token', async () => {
  const time: ManualTime = manualTime();
  const { leader } = hub.connect();
  const one = run('one', { time });
  await waitFor(() => leads(one));
  await leader.release(one.terms[0]!.token);
  await waitFor(() => {
    time.advance(PATIENT_MS / 9);
    return one.terms.length === 2;
  });
  expect(reasons(one)).toEqual(['the lease is gone']);
  expect(one.terms[0]!.signal.aborted).toBe(true);
  expect(one.terms[1]!.token).not.toBe(one.terms[0]!.token);
});

test('a term that the journal refused is over, and what it still has to do ends before the next one', async () => {
  let finish = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const one = run('one', { time: manualTime(), afterwards: () => finished });
  await waitFor(() => leads(one));
  one.terms[0]!.lose('an append was refused');
  expect([leads(one), one.terms[0]!.signal.aborted]).toEqual([false, true]);
  for (let i = 0; i < 50; i++) await new Promise(setImmediate);
  expect(one.terms).toHaveLength(1);
  finish();
  await waitFor(() => one.terms.length === 2);
  expect(reasons(one)).toEqual(['an append was refused']);
});

test('a bus that is away is waited for', async () => {
  const { leader } = hub.connect();
  let tries = 0;
  const acquire: Leader['acquire'] = (...call) =>
    ++tries < 3 ? Promise.reject(new BusUnavailable('away')) : leader.acquire(...call);
  const one = run('one', { over: { acquire } });
  await waitFor(() => leads(one));
  expect(events(one)).toEqual(['the bus is away', 'leader']);
});

test.each([
  ['acquire', { acquire: () => Promise.reject(new Error('WRONGTYPE')) }],
  ['renew', { renew: () => Promise.reject(new Error('WRONGTYPE')) }],
])('what the bus refuses for good in %s is thrown', async (_, over) => {
  await expect(run('one', { leaseMs: SHORT_MS, over }).run).rejects.toThrow('WRONGTYPE');
});

test('what serving throws is thrown, and the lead let go', async () => {
  const failing = run('one', { afterwards: () => Promise.reject(new Error('a bug')) });
  await waitFor(() => leads(failing));
  failing.stop.abort();
  await expect(failing.run).rejects.toThrow('a bug');
  expect(await hub.connect().leader.acquire('other', SHORT_MS)).not.toBeNull();
});

test('a standby that is told to stop ends at once, and takes nothing any more', async () => {
  const time = manualTime();
  const one = run('one', { time });
  await waitFor(() => leads(one));
  const two = run('two', { time });
  await waitFor(() => events(two).includes(STANDBY));
  two.stop.abort();
  await two.run;
  one.stop.abort();
  await one.run;
  expect(two.terms).toHaveLength(0);
});
