const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** `14:30:00Z` of each minute of a day. */
const MINUTE_TEXTS = Array.from({ length: 1_440 }, (_, minute) =>
  new Date(minute * MINUTE_MS).toISOString().slice(11, 19).concat('Z'),
);
/** The last day asked for: bars and candles mostly come in order. */
let day = Number.NaN;
let dayText = '';

/**
 * Epoch ms as RFC 3339 UTC, without milliseconds where they are zero: `2025-11-03T14:30:00Z`. Hot: whole minutes, which
 * every bar and candle has, are put together from two known halves, five times as fast as a Date.
 */
export function toIso(ms: number): string {
  if (ms % MINUTE_MS !== 0) {
    const iso = new Date(ms).toISOString();
    return ms % 1000 === 0 ? `${iso.slice(0, -5)}Z` : iso;
  }
  const asked = Math.floor(ms / DAY_MS);
  if (asked !== day) {
    dayText = new Date(asked * DAY_MS).toISOString().slice(0, -13);
    day = asked;
  }
  return dayText + MINUTE_TEXTS[(ms - asked * DAY_MS) / MINUTE_MS];
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

/**
 * Epoch ms (floor) of an RFC 3339 instant with zone, or null. Stricter than `Date.parse`: a 31st of February, an hour
 * of 24 or a missing zone is no instant. A leap second (`:60`) is refused.
 */
export function parseInstant(value: string): number | null {
  const match = RFC3339.exec(value);
  if (!match) return null;
  const [, year, month, day, hour, minute, second, fraction, zone] = match as unknown as string[];
  if (
    Number(hour) > 23 ||
    Number(minute) > 59 ||
    Number(second) > 59 ||
    !isDate(Number(year), Number(month), Number(day))
  ) {
    return null;
  }
  const offset = /^[Zz]$/.test(zone!) ? 0 : offsetMs(zone!);
  if (offset === null) return null;
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  // Date.UTC takes years 0 to 99 for 1900 to 1999; nobody traded then.
  if (Number(year) < 1000) return null;
  // Digits and not arithmetic: `.9999999999999999999` is the double 1.
  return ms - offset + (fraction ? Number(fraction.slice(1, 4).padEnd(3, '0')) : 0);
}

/** Whether `YYYY-MM-DD` names a day that exists. */
export function isDay(value: string): boolean {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(value);
  return match !== null && Number(match[1]) >= 1000 && isDate(Number(match[1]), Number(match[2]), Number(match[3]));
}

function isDate(year: number, month: number, day: number): boolean {
  return month >= 1 && month <= 12 && day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}

function offsetMs(zone: string): number | null {
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  if (hours > 23 || minutes > 59) return null;
  return (zone[0] === '-' ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}
