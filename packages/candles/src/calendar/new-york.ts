import { DAY_MS, HOUR_MS, isDay } from '@candlewire/contracts';

/**
 * New York's time zone as a table of spans of constant offset, made from Intl year by year when a year is first asked for.
 * A lookup is a comparison where the span is that of the lookup before, which it nearly always is; asking a cached
 * Intl formatter each time costs some hundred times as much.
 */
interface Span {
  /** Inclusive, epoch ms. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  /** Local time minus UTC, negative. */
  readonly offsetMs: number;
  /** `-05:00` */
  readonly suffix: string;
}

const SECOND_MS = 1_000;

const spansOfYears = new Map<number, readonly Span[]>();
let lastSpan: Span = { from: 0, to: 0, offsetMs: 0, suffix: '' };
let formatter: Intl.DateTimeFormat | undefined;

function spanAt(ms: number): Span {
  if (ms >= lastSpan.from && ms < lastSpan.to) return lastSpan;
  const year = new Date(ms).getUTCFullYear();
  let spans = spansOfYears.get(year);
  if (spans === undefined) spansOfYears.set(year, (spans = spansOf(year)));
  const span = spans.find(({ to }) => ms < to);
  if (span === undefined) throw new RangeError(`not a time: ${ms}`);
  return (lastSpan = span);
}

/** The spans of a UTC year. The offset is probed at each month's start: no two changes were ever closer than that. */
function spansOf(year: number): Span[] {
  const spans: Span[] = [];
  let from = Date.UTC(year, 0, 1);
  let suffix = suffixAt(from);
  for (let month = 1; month <= 12; month++) {
    const probe = Date.UTC(year, month, 1);
    const next = suffixAt(probe);
    if (next === suffix) continue;
    const to = changeBetween(Date.UTC(year, month - 1, 1), probe, suffix);
    spans.push({ from, to, offsetMs: offsetOf(suffix), suffix });
    from = to;
    suffix = next;
  }
  spans.push({ from, to: Date.UTC(year + 1, 0, 1), offsetMs: offsetOf(suffix), suffix });
  return spans;
}

/** The first second in (from, to] whose offset is not `suffix`, which is that of `from`. */
function changeBetween(from: number, to: number, suffix: string): number {
  let before = from;
  let after = to;
  while (after - before > SECOND_MS) {
    const middle = before + Math.floor((after - before) / (2 * SECOND_MS)) * SECOND_MS;
    if (suffixAt(middle) === suffix) before = middle;
    else after = middle;
  }
  return after;
}

function suffixAt(ms: number): string {
  formatter ??= new Intl.DateTimeFormat('en-US', { timeZone: 'America/New_York', timeZoneName: 'longOffset' });
  const text = formatter.format(ms);
  return text.slice(text.indexOf('GMT') + 3);
}

function offsetOf(suffix: string): number {
  // The seconds are those of local mean time, before 1883.
  const [hours, minutes, seconds = 0] = suffix.slice(1).split(':').map(Number) as [number, number, number?];
  return (suffix.startsWith('-') ? -1 : 1) * (hours * 3_600 + minutes * 60 + seconds) * SECOND_MS;
}

/** Number of the New York date that holds `ms`: days since 1970-01-01, whose number is 0. */
export function dayNumberOf(ms: number): number {
  return Math.floor((ms + spanAt(ms).offsetMs) / DAY_MS);
}

/** Epoch ms at which the wall clock of New York shows `localMs` past midnight: 0 or from 4:00 on, on the date of this number. */
export function newYorkTime(dayNumber: number, localMs: number): number {
  const local = dayNumber * DAY_MS + localMs;
  // The moment itself in summer, an hour before it in winter. Clocks change at 2:00: around midnight and from 4:00 on both
  // have the same offset.
  const near = local + 4 * HOUR_MS;
  return local - spanAt(near).offsetMs;
}

let lastDayNumber = Number.NaN;
let lastDay = '';

/** The New York date that holds `ms`, `2025-11-03`. */
export function newYorkDay(ms: number): string {
  const dayNumber = dayNumberOf(ms);
  if (dayNumber !== lastDayNumber) {
    lastDay = new Date(dayNumber * DAY_MS).toISOString().slice(0, 10);
    lastDayNumber = dayNumber;
  }
  return lastDay;
}

/**
 * Epoch ms of the midnight with which a New York date begins.
 * @param day `2025-11-03`
 * @throws RangeError where there is no such day
 */
export function newYorkMidnight(day: string): number {
  if (!isDay(day)) throw new RangeError(`not a day: ${day}`);
  return newYorkTime(Date.parse(day) / DAY_MS, 0);
}

/** `2024-01-15T09:30:00-05:00`; with milliseconds where they are not zero. */
export function toNewYorkIso(ms: number): string {
  const { offsetMs, suffix } = spanAt(ms);
  const local = new Date(ms + offsetMs).toISOString();
  return local.slice(0, ms % SECOND_MS === 0 ? 19 : 23) + suffix;
}
