/** Width of the bars of a REST call. `5Min`, `1Hour`, `1Day` … */
export interface Timeframe {
  readonly amount: number;
  readonly unit: TimeframeUnit;
}
export type TimeframeUnit = 'Min' | 'Hour' | 'Day' | 'Week' | 'Month';

const UNITS: Readonly<Record<string, TimeframeUnit>> = {
  Min: 'Min',
  T: 'Min',
  Hour: 'Hour',
  H: 'Hour',
  Day: 'Day',
  D: 'Day',
  Week: 'Week',
  W: 'Week',
  Month: 'Month',
  M: 'Month',
};
const MINUTES_MAX = 59;
const HOURS_MAX = 23;
const MONTHS = [1, 2, 3, 4, 6, 12];

/** Null where the text is none of `1-59Min|T`, `1-23Hour|H`, `1Day|D`, `1Week|W`, `1,2,3,4,6,12Month|M`. */
export function parseTimeframe(text: string): Timeframe | null {
  const match = /^([1-9]\d?)([A-Z][a-z]*)$/.exec(text);
  if (match === null || !Object.hasOwn(UNITS, match[2]!)) return null;
  const amount = Number(match[1]);
  const unit = UNITS[match[2]!]!;
  return isAllowed(amount, unit) ? { amount, unit } : null;
}

export function formatTimeframe({ amount, unit }: Timeframe): string {
  return `${amount}${unit}`;
}

function isAllowed(amount: number, unit: TimeframeUnit): boolean {
  switch (unit) {
    case 'Min':
      return amount <= MINUTES_MAX;
    case 'Hour':
      return amount <= HOURS_MAX;
    case 'Month':
      return MONTHS.includes(amount);
    default:
      return amount === 1;
  }
}
