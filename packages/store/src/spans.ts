import type { MarketCalendar } from '@candlewire/candles';
import { type MarketStatus, MINUTE_MS } from '@candlewire/contracts';

/** from <= time < to, epoch ms. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Sessions begin and end at multiples of it. */
const SESSION_STEP_MS = 5 * MINUTE_MS;

/** Ascending, without overlaps, those that touch joined, empty ones left out. */
export function mergeSpans(spans: readonly Span[]): Span[] {
  const merged: Span[] = [];
  for (const { from, to } of [...spans].sort((a, b) => a.from - b.from)) {
    if (from >= to) continue;
    const last = merged.at(-1);
    if (last !== undefined && from <= last.to)
      merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, to) };
    else merged.push({ from, to });
  }
  return merged;
}

/** What is left of a span without all of `minus`, ascending. */
export function without({ from, to }: Span, minus: readonly Span[]): Span[] {
  const left: Span[] = [];
  let at = from;
  for (const taken of mergeSpans(minus)) {
    if (taken.to <= at) continue;
    if (taken.from >= to) break;
    if (taken.from > at) left.push({ from: at, to: taken.from });
    at = taken.to;
  }
  if (at < to) left.push({ from: at, to });
  return left;
}

/**
 * The parts of a span in which the market has one of these statuses, ascending; one for each unbroken stretch, each
 * within one New York day.
 */
export function* sessionSpans(
  { from, to }: Span,
  calendar: MarketCalendar,
  statuses: readonly MarketStatus[],
): Generator<Span> {
  for (let at = from; at < to; ) {
    const dayTo = Math.min(calendar.nextDay(at), to);
    let opened: number | null = null;
    for (; at < dayTo; at = Math.min(nextStep(at), dayTo)) {
      const isOpen = statuses.includes(calendar.statusOf(at));
      if (isOpen) opened ??= at;
      else if (opened !== null) {
        yield { from: opened, to: at };
        opened = null;
      }
    }
    if (opened !== null) yield { from: opened, to: dayTo };
  }
}

const nextStep = (ms: number) => ms - (ms % SESSION_STEP_MS) + SESSION_STEP_MS;

/** Spans of a Postgres int8multirange in its text form, `{[1,5),[7,9)}`. */
export function parseMultirange(text: string | null): Span[] {
  return [...(text ?? '').matchAll(/\[(-?\d+),(-?\d+)\)/g)].map(([, from, to]) => ({
    from: Number(from),
    to: Number(to),
  }));
}
