import { open } from 'node:fs/promises';
import type { MarketCalendar } from '@candlewire/candles';
import { type Bar, DAY_MS, MINUTE_MS } from '@candlewire/contracts';
import { boundedLog, type Logger } from '@candlewire/runtime';
import type { Time } from '../time';
import { createCsvParser, type ReplayLine, type SkippedLine } from './csv';
import type { Delivery, Source } from './source';

const READ_BYTES = 256 * 1024;
/** Bars in one delivery: enough to make a round trip worth while, few enough to hold. */
const DELIVERY_BARS_MAX = 4_000;
/** What is left of the time between two sessions. */
const SESSION_GAP_MS = 1_000;
/** A replay that was held up makes good at most so much of it by going faster. */
const CATCH_UP_MS = 1_000;
/** Timers take no more than 24 days. */
const PAUSE_MAX_MS = DAY_MS;
/** The last clock lies this far beyond the end of every open bucket and the grace. */
const FINISH_MARGIN_MS = MINUTE_MS;

export interface ReplayOptions {
  readonly file: string;
  /** Factor of the time between deliveries; Infinity: as fast as they are taken. */
  readonly speed: number;
  /** How long after its end a candle turns final. */
  readonly graceMs: number;
  readonly calendar: MarketCalendar;
  readonly time: Time;
  readonly logger: Logger;
}

/**
 * Plays a file of bars ({@link createCsvParser}), from its start at each call of `live`. The clock is the file's own; the
 * last one passes every bucket that is still open, so that all candles turn final. Lines that hold no bar are logged,
 * counted and skipped; a file that cannot be read, or whose header says nothing, is an error.
 */
export function createReplaySource(options: ReplayOptions): Source {
  const { file, speed, graceMs, calendar, time, logger } = options;
  const refused: Record<string, number> = {};
  const logSkipped = boundedLog(logger, 'malformed line skipped');

  async function* live(signal: AbortSignal): AsyncGenerator<Delivery> {
    const pace = createPace(speed, calendar, time);
    let clock: number | null = null;
    let newest = Number.NEGATIVE_INFINITY;
    let bars: Bar[] = [];
    let begun = false;
    for await (const lines of linesOf(file)) {
      if (!begun) {
        begun = true;
        yield { clock: null, bars: [], state: 'live' };
      }
      for (const line of lines) {
        if ('refusal' in line) {
          refused[line.refusal] = (refused[line.refusal] ?? 0) + 1;
          logSkipped({ line: line.number, reason: line.refusal });
          continue;
        }
        pace.moveTo(line.clock);
        if (bars.length > 0 && (bars.length >= DELIVERY_BARS_MAX || pace.earlyMs() > 0)) {
          yield { clock, bars };
          bars = [];
        }
        for (let earlyMs = pace.earlyMs(); earlyMs > 0 && !signal.aborted; earlyMs = pace.earlyMs()) {
          await time.pause(Math.min(earlyMs, PAUSE_MAX_MS), signal);
        }
        if (signal.aborted) return;
        bars.push(line.bar);
        clock = line.clock;
        newest = Math.max(newest, line.bar.openTime);
      }
    }
    if (bars.length > 0) yield { clock, bars };
    const end = clock === null ? null : Math.max(clock, calendar.nextDay(newest) + graceMs + FINISH_MARGIN_MS);
    yield { clock: end, bars: [], state: 'finished' };
  }

  return { kind: 'replay', calendar: calendar.kind, refused, live };
}

async function* linesOf(path: string): AsyncGenerator<(ReplayLine | SkippedLine)[]> {
  const file = await open(path);
  try {
    const parser = createCsvParser();
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES, null);
      if (bytesRead === 0) break;
      yield parser.push(buffer.subarray(0, bytesRead));
    }
    yield parser.end();
  } finally {
    await file.close();
  }
}

/** When it is the turn of what the file's clock says. */
interface Pace {
  moveTo(fileClock: number): void;
  /** How long to wait; 0 where it is time, or less than a timer's millisecond before. */
  earlyMs(): number;
}

function createPace(speed: number, calendar: MarketCalendar, time: Time): Pace {
  let fileClock: number | null = null;
  let dayEnd = 0;
  let due = time.elapsedMs();
  return {
    moveTo(next) {
      if (fileClock !== null && next > fileClock) {
        const gapMs = (next - fileClock) / speed;
        // Kept as a schedule, not as single waits, whose rounding would add up.
        due = Math.max(due, time.elapsedMs() - CATCH_UP_MS) + (next > dayEnd ? Math.min(gapMs, SESSION_GAP_MS) : gapMs);
      }
      if (next > dayEnd) dayEnd = calendar.nextDay(next - 1);
      fileClock = next;
    },
    earlyMs() {
      const early = due - time.elapsedMs();
      return early < 1 ? 0 : early;
    },
  };
}
