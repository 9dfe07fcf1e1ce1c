import { type Bar, type BarRefusal, isRefusal, MINUTE_MS, parseBar, parseInstant } from '@candlewire/contracts';

/** No bar needs more; a file without line ends must not fill the memory. */
const LINE_BYTES_MAX = 4_096;

/** Decimals up to here have digits and a power of ten that doubles hold exactly, so that one division rounds rightly. */
const EXACT_CHARS_MAX = 15;
const POWERS_OF_TEN = Array.from({ length: EXACT_CHARS_MAX }, (_, exponent) => 10 ** exponent);
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

const BYTE_ORDER_MARK = '\xef\xbb\xbf';
const CR = 13;
const QUOTE = 34;
const COMMA = 44;
const DASH = 45;
const POINT = 46;
const ZERO = 48;
const COLON = 58;
const LETTER_T = 84;
const LETTER_Z = 90;

const PRICES = ['open', 'high', 'low', 'close', 'volume'];
const OPTIONAL = ['trade_count', 'vwap'];
/** Columns that each form must have, in any order; both may have the optional ones. */
const PLAIN = ['symbol', 'timestamp', ...PRICES];
const DELIVERY_LOG = ['seq', 'arrival', 'kind', 'rev', 'symbol', 'ts', ...PRICES];

/** Why a line is skipped; the label of the counter. */
export type LineRefusal = BarRefusal | 'wrong_field_count' | 'quoted' | 'line_too_long';

export interface ReplayLine {
  /** The header is line 1. */
  readonly number: number;
  /** The file's clock after this line, epoch ms: the greatest arrival so far, in a plain file the greatest minute end. */
  readonly clock: number;
  readonly bar: Bar;
}

export interface SkippedLine {
  readonly number: number;
  readonly refusal: LineRefusal;
}

/** The first line is not the header of a file of bars. */
export class UnknownHeader extends Error {
  constructor(problem: string) {
    super(
      `${problem}; the first line must name the columns ${PLAIN} or ${DELIVERY_LOG}, each with or without ${OPTIONAL}`,
    );
    this.name = 'UnknownHeader';
  }
}

/** Where each value stands in a line; -1: nowhere. */
interface Columns {
  readonly count: number;
  readonly symbol: number;
  readonly openTime: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly tradeCount: number;
  readonly vwap: number;
  readonly arrival: number;
  readonly rev: number;
}

function parseHeader(line: string): Columns {
  const names = line.split(',').map((name) => name.trim());
  const required = names.includes('arrival') ? DELIVERY_LOG : PLAIN;
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) !== index) throw new UnknownHeader(`column ${JSON.stringify(name)} appears twice`);
    if (!required.includes(name) && !OPTIONAL.includes(name))
      throw new UnknownHeader(`unknown column ${JSON.stringify(name)}`);
  }
  const missing = required.filter((name) => !names.includes(name));
  if (missing.length > 0) throw new UnknownHeader(`missing column ${missing}`);
  const at = (name: string) => names.indexOf(name);
  return {
    count: names.length,
    symbol: at('symbol'),
    openTime: required === PLAIN ? at('timestamp') : at('ts'),
    open: at('open'),
    high: at('high'),
    low: at('low'),
    close: at('close'),
    volume: at('volume'),
    tradeCount: at('trade_count'),
    vwap: at('vwap'),
    arrival: at('arrival'),
    rev: at('rev'),
  };
}

export interface CsvParser {
  /** The lines that end in this chunk. The chunk may be cut anywhere and overwritten afterwards. */
  push(chunk: Uint8Array): (ReplayLine | SkippedLine)[];
  /** The last line, where no line end follows it. */
  end(): (ReplayLine | SkippedLine)[];
}

/**
 * Parses a file of bars as it is read, in bounded memory: minute bars, or a delivery log. Line ends may be LF or CRLF, a
 * byte order mark may come first, blank lines are passed over; a quote makes a line malformed.
 * Both methods throw {@link UnknownHeader}.
 *
 * Hot, so written by hand: a line is looked at in place, one character at a time, and only its symbol is cut out.
 */
export function createCsvParser(): CsvParser {
  let columns: Columns | null = null;
  let number = 0;
  let clock = Number.NEGATIVE_INFINITY;
  /** The start of a line whose end has not come yet. */
  let carry = '';
  let lines: (ReplayLine | SkippedLine)[] = [];
  /** Field k of the line at hand lies between commas[k] and commas[k + 1], both exclusive. */
  let commas = new Int32Array(1);
  let midnight = { day: -1, ms: 0 };

  function take(text: string, start: number, end: number): void {
    number++;
    if (columns === null) {
      columns = readHeader(text.slice(start, end));
      commas = new Int32Array(columns.count + 1);
      return;
    }
    const found = read(text, start, end, columns);
    if (typeof found === 'string') lines.push({ number, refusal: found });
    else if (found !== null) lines.push({ number, clock, bar: found });
  }

  /** The bar of a line; null where the line is blank. */
  function read(text: string, start: number, lineEnd: number, at: Columns): Bar | LineRefusal | null {
    if (lineEnd - start > LINE_BYTES_MAX) return 'line_too_long';
    const end = lineEnd > start && text.charCodeAt(lineEnd - 1) === CR ? lineEnd - 1 : lineEnd;
    if (end === start) return null;
    const malformed = cut(text, start, end, at.count);
    if (malformed !== null) return malformed;

    const openTime = instant(text, at.openTime);
    const arrival = at.arrival === -1 ? (openTime ?? Number.NaN) + MINUTE_MS : instant(text, at.arrival);
    if (at.arrival !== -1 && arrival === undefined) return 'missing_field';
    if (at.arrival !== -1 && Number.isNaN(arrival)) return 'bad_timestamp';
    // A line that is skipped moves nothing, so the clock is adopted only with its bar.
    const next = Math.max(clock, arrival!);
    const bar = parseBar(
      {
        symbol: text.slice(commas[at.symbol]! + 1, commas[at.symbol + 1]),
        openTime,
        open: decimal(text, at.open),
        high: decimal(text, at.high),
        low: decimal(text, at.low),
        close: decimal(text, at.close),
        volume: decimal(text, at.volume),
        tradeCount: decimal(text, at.tradeCount),
        vwap: decimal(text, at.vwap),
        rev: at.rev === -1 ? 0 : decimal(text, at.rev),
      },
      next,
    );
    if (!isRefusal(bar)) clock = next;
    return bar;
  }

  /** Finds the fields of a line. */
  function cut(text: string, start: number, end: number, count: number): LineRefusal | null {
    let fields = 0;
    commas[0] = start - 1;
    for (let i = start; i < end; i++) {
      const char = text.charCodeAt(i);
      if (char === COMMA) {
        if (++fields >= count) return text.slice(i, end).includes('"') ? 'quoted' : 'wrong_field_count';
        commas[fields] = i;
      } else if (char === QUOTE) return 'quoted';
    }
    commas[count] = end;
    return fields + 1 === count ? null : 'wrong_field_count';
  }

  /** A number; undefined where the field is empty or there is no such column, NaN where it is none. */
  function decimal(text: string, column: number): number | undefined {
    if (column === -1) return undefined;
    const start = commas[column]! + 1;
    const end = commas[column + 1]!;
    if (start === end) return undefined;
    let digits = 0;
    let point = -1;
    for (let i = start; i < end; i++) {
      const char = text.charCodeAt(i);
      if (char >= ZERO && char < ZERO + 10) digits = digits * 10 + (char - ZERO);
      else if (char === POINT && point === -1) point = i;
      else return anyDecimal(text.slice(start, end));
    }
    if (end - start > EXACT_CHARS_MAX || end - start === 1) return anyDecimal(text.slice(start, end));
    return point === -1 ? digits : digits / POWERS_OF_TEN[end - 1 - point]!;
  }

  /** Epoch ms; undefined where the field is empty, NaN where it is no instant. */
  function instant(text: string, column: number): number | undefined {
    const start = commas[column]! + 1;
    const end = commas[column + 1]!;
    if (start === end) return undefined;
    const ms = usualInstant(text, start, end);
    return Number.isNaN(ms) ? (parseInstant(text.slice(start, end)) ?? Number.NaN) : ms;
  }

  /** `2025-11-03T14:30:00Z` or `2025-11-03T14:30:00.123Z`, NaN for every other form. */
  function usualInstant(text: string, start: number, end: number): number {
    const length = end - start;
    if (length !== 20 && length !== 24) return Number.NaN;
    if (text.charCodeAt(end - 1) !== LETTER_Z || text.charCodeAt(start + 10) !== LETTER_T) return Number.NaN;
    if (text.charCodeAt(start + 4) !== DASH || text.charCodeAt(start + 7) !== DASH) return Number.NaN;
    if (text.charCodeAt(start + 13) !== COLON || text.charCodeAt(start + 16) !== COLON) return Number.NaN;
    const hour = twoDigits(text, start + 11);
    const minute = twoDigits(text, start + 14);
    const second = twoDigits(text, start + 17);
    if (!(hour < 24 && minute < 60 && second < 60)) return Number.NaN;
    let ms = hour * 3_600_000 + minute * 60_000 + second * 1_000;
    if (length === 24) {
      if (text.charCodeAt(start + 19) !== POINT) return Number.NaN;
      ms += twoDigits(text, start + 20) * 10 + (twoDigits(text, start + 21) % 10);
    }
    return midnightOf(text, start) + ms;
  }

  /** Epoch ms of the day that is written at `start`. A file stays on a day for a while: the last one is remembered. */
  function midnightOf(text: string, start: number): number {
    const day =
      twoDigits(text, start) * 1_000_000 +
      twoDigits(text, start + 2) * 10_000 +
      twoDigits(text, start + 5) * 100 +
      twoDigits(text, start + 8);
    if (day !== midnight.day) {
      midnight = { day, ms: parseInstant(`${text.slice(start, start + 10)}T00:00:00Z`) ?? Number.NaN };
    }
    return midnight.ms;
  }

  function drain(): (ReplayLine | SkippedLine)[] {
    const done = lines;
    lines = [];
    return done;
  }

  return {
    push(chunk) {
      // One character for each byte: everything that is allowed is ASCII, and no character is ever cut in two.
      const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
      let start = 0;
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
        if (carry === '') take(text, start, end);
        else {
          const line = carry + text.slice(0, end);
          carry = '';
          take(line, 0, line.length);
        }
        start = end + 1;
      }
      // What is longer than a line may be is refused whatever follows.
      if (carry.length <= LINE_BYTES_MAX) carry += text.slice(start, start + LINE_BYTES_MAX + 1);
      return drain();
    },
    end() {
      if (carry !== '' || number === 0) take(carry, 0, carry.length);
      carry = '';
      return drain();
    },
  };
}

function readHeader(line: string): Columns {
  if (line.length > LINE_BYTES_MAX) throw new UnknownHeader('the first line is too long');
  const text = line.startsWith(BYTE_ORDER_MARK) ? line.slice(BYTE_ORDER_MARK.length) : line;
  if (text.trim() === '') throw new UnknownHeader('no header');
  return parseHeader(text);
}

function anyDecimal(text: string): number {
  return DECIMAL.test(text) ? Number(text) : Number.NaN;
}

/** 0 to 99; NaN where there are no two digits. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - ZERO;
  const ones = text.charCodeAt(at + 1) - ZERO;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN;
}
