import type { ConnectionFault, DataFault, FaultScript, RequestFault } from '@candlewire/testkit';

/** Whole numbers from `low` to `high`. */
export type Dice = (low: number, high: number) => number;

/** Bars that a connection brings between two faults. */
const BARS_MIN = 10;
const BARS_MAX = 400;
/** Things that happen on a connection before the one that ends it. */
const FAULTS_MAX = 3;
/** One request of so many fails. */
const REQUESTS_PER_FAULT = 3;
const SHORT_PAGE_MIN = 20;
const SHORT_PAGE_MAX = 120;
/** One connection of so many cannot even be opened. */
const CONNECTIONS_PER_REFUSAL = 3;
/** One of so many refuses the first request, for the number of its symbols. */
const CONNECTIONS_PER_SYMBOL_LIMIT = 4;

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
type Happening = Without<DataFault, 'afterBars'>;
type Wound = (dice: Dice) => Happening;

/** What the connection survives, and whoever reads it can see. */
const SEEN: readonly Wound[] = [
  () => ({ do: 'bad_bytes' }),
  () => ({ do: 'other_encoding' }),
  () => ({ do: 'not_an_array' }),
  () => ({ do: 'null_element' }),
  () => ({ do: 'duplicate' }),
  () => ({ do: 'error', code: 500 }),
];
/** Bars that do not come, as if there had been no trade: only the fetch after the close brings them. */
const UNSEEN: readonly Wound[] = [
  () => ({ do: 'missing_field', field: 'v' }),
  () => ({ do: 'missing_field', field: 't' }),
  () => ({ do: 'out_of_order' }),
  (dice) => ({ do: 'mute', bars: dice(1, 20) }),
  () => ({ do: 'mute' }),
];
const ENDS: readonly Happening[] = [
  { do: 'close' },
  { do: 'close', code: 1012 },
  { do: 'terminate' },
  { do: 'error', code: 407, close: true },
];
const REFUSALS: readonly ConnectionFault[] = [
  { upgrade: 429 },
  { upgrade: 503 },
  { upgrade: 'hang' },
  { auth: 'silent' },
  { auth: { code: 402 } },
  { auth: { code: 406 } },
  { auth: { code: 406, close: true } },
  { auth: { code: 500 } },
  { greeting: false },
  { pong: false },
];

/** @param unseen also what nobody can notice at the time */
export function randomFaults(dice: Dice, unseen: boolean): FaultScript {
  const wounds = unseen ? [...SEEN, ...UNSEEN] : SEEN;
  const one = <T>(list: readonly T[]): T => list[dice(0, list.length - 1)]!;

  function connectionFault(): ConnectionFault {
    if (dice(1, CONNECTIONS_PER_REFUSAL) === 1) {
      return one(REFUSALS);
    }
    const data: DataFault[] = [];
    let afterBars = 0;
    for (let left = dice(0, FAULTS_MAX); left > 0; left--) {
      afterBars += dice(BARS_MIN, BARS_MAX);
      data.push({ ...one(wounds)(dice), afterBars } as DataFault);
    }
    data.push({ ...one(ENDS), afterBars: afterBars + dice(BARS_MIN, BARS_MAX) } as DataFault);
    const refusesASymbol = dice(1, CONNECTIONS_PER_SYMBOL_LIMIT) === 1;
    return { data, ...(refusesASymbol && { subscribe: { code: 405, times: 1 } }) };
  }

  function requestFault(): RequestFault {
    if (dice(1, REQUESTS_PER_FAULT) !== 1) return { shortPage: dice(SHORT_PAGE_MIN, SHORT_PAGE_MAX) };
    return one<RequestFault>([
      { status: 429, retryAfterS: dice(1, 90) },
      { status: 500 },
      { status: 503 },
      { badBody: true },
      { drop: true },
      { sip: true },
    ]);
  }

  return { connections: connectionFault, requests: requestFault };
}
