import { type Bar, MINUTE_MS } from '@candlewire/contracts';
import fc from 'fast-check';
import { createCsvParser, type ReplayLine, type SkippedLine, UnknownHeader } from './csv';

const PLAIN = 'symbol,timestamp,open,high,low,close,volume';
const LOG = 'seq,arrival,kind,rev,symbol,ts,open,high,low,close,volume,trade_count,vwap';
const OPEN = Date.UTC(2025, 10, 3, 14, 30);

function parse(content: string | Uint8Array, cuts: readonly number[] = []): (ReplayLine | SkippedLine)[] {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const parser = createCsvParser();
  const lines: (ReplayLine | SkippedLine)[] = [];
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    // The chunk is overwritten once it was taken, as a read buffer is.
    const chunk = bytes.slice(from, to);
    lines.push(...parser.push(chunk));
    chunk.fill(0);
    from = to;
  }
  return [...lines, ...parser.end()];
}

const barsOf = (content: string): Bar[] => parse(content).flatMap((line) => ('bar' in line ? [line.bar] : []));
const bar = (fields: Partial<Bar> = {}): Bar => ({
  symbol: 'AAPL',
  openTime: OPEN,
  open: 269.5,
  high: 270.25,
  low: 269,
  close: 270,
  volume: 1200,
  tradeCount: null,
  vwap: null,
  rev: 0,
  ...fields,
});

describe('minute bars', () => {
  test('a line is a bar of rev 0 whose clock is the end of its minute', () => {
    expect(parse(`${PLAIN}\nAAPL,2025-11-03T14:30:00Z,269.5,270.25,269,270,1200\n`)).toEqual([
      { number: 2, clock: OPEN + MINUTE_MS, bar: bar() },
    ]);
  });

  test('columns stand in the order of the header, trade_count and vwap may be among them or empty', () => {
    const header = 'vwap,close,volume,low,trade_count,high,open,timestamp,symbol';
    expect(
      barsOf(
        `${header}\n269.751,270,1200,269,34,270.25,269.5,2025-11-03T14:30:00Z,aapl\n,270,1200,269,,270.25,269.5,2025-11-03T14:30:00Z,AAPL`,
      ),
    ).toEqual([bar({ vwap: 269.751, tradeCount: 34 }), bar()]);
  });

  test('the clock is the greatest minute end so far', () => {
    const at = (time: string) => `AAPL,2025-11-03T${time}:00Z,1,1,1,1,1`;
    const lines = parse([PLAIN, at('14:30'), at('14:32'), at('14:31')].join('\n'));
    expect(lines.map((line) => 'clock' in line && (line.clock - OPEN) / MINUTE_MS)).toEqual([1, 3, 3]);
  });

  test('a timestamp may carry an offset or fractions of a second that are zero', () => {
    const at = (time: string) => `AAPL,${time},1,1,1,1,1`;
    const lines = [at('2025-11-03T09:30:00-05:00'), at('2025-11-03T14:30:00.000Z'), at('2025-11-03T14:30:00.000000Z')];
    expect(barsOf([PLAIN, ...lines].join('\n')).map(({ openTime }) => openTime)).toEqual([OPEN, OPEN, OPEN]);
  });
});

describe('delivery log', () => {
  test('a line is a bar with its rev, and the clock is the greatest arrival so far', () => {
    const lines = parse(
      [
        LOG,
        '1,2025-11-03T14:31:00.088Z,b,0,AAPL,2025-11-03T14:30:00Z,269.5,270.25,269,270,1200,34,269.751',
        '2,2025-11-03T14:31:30.250Z,u,1,AAPL,2025-11-03T14:30:00Z,269.5,270.25,269,270,1300,,',
        '3,2025-11-03T14:31:10Z,h,4,AAPL,2025-11-03T14:29:00Z,269.5,270.25,269,270,1200,34,269.751',
      ].join('\n'),
    );
    expect(lines).toEqual([
      { number: 2, clock: OPEN + MINUTE_MS + 88, bar: bar({ tradeCount: 34, vwap: 269.751 }) },
      { number: 3, clock: OPEN + MINUTE_MS + 30_250, bar: bar({ volume: 1300, rev: 1 }) },
      {
        number: 4,
        clock: OPEN + MINUTE_MS + 30_250,
        bar: bar({ openTime: OPEN - MINUTE_MS, tradeCount: 34, vwap: 269.751, rev: 4 }),
      },
    ]);
  });

  test('a bar more than a day ahead of its arrival is skipped and leaves the clock where it was', () => {
    const line = (arrival: string, ts: string) => `1,${arrival},b,0,AAPL,${ts},1,1,1,1,1,1,1`;
    const lines = parse(
      [
        LOG,
        line('2025-11-03T14:31:00Z', '2025-11-03T14:30:00Z'),
        line('2025-11-03T15:31:00Z', '2025-11-05T14:30:00Z'),
        line('2025-11-03T14:32:00Z', '2025-11-03T14:31:00Z'),
      ].join('\n'),
    );
    expect(lines[1]).toEqual({ number: 3, refusal: 'ahead_of_time' });
    expect(lines[2]).toMatchObject({ clock: OPEN + 2 * MINUTE_MS });
  });
});

describe('malformed lines', () => {
  const good = 'AAPL,2025-11-03T14:30:00Z,10,11,9,10,100';
  test.each([
    ['a field less', 'AAPL,2025-11-03T14:30:00Z,10,11,9,10', 'wrong_field_count'],
    ['a field more', `${good},`, 'wrong_field_count'],
    ['many fields more', `${good},${','.repeat(100)}`, 'wrong_field_count'],
    ['a word alone', 'AAPL', 'wrong_field_count'],
    ['a blank in an empty line', ' ', 'wrong_field_count'],
    ['a quoted field', `"AAPL",2025-11-03T14:30:00Z,10,11,9,10,100`, 'quoted'],
    ['a quoted comma', `${good},"a,b"`, 'quoted'],
    ['a lower case word for a number', 'AAPL,2025-11-03T14:30:00Z,abc,11,9,10,100', 'not_a_number'],
    ['a price of NaN', 'AAPL,2025-11-03T14:30:00Z,NaN,11,9,10,100', 'not_a_number'],
    ['a price of Infinity', 'AAPL,2025-11-03T14:30:00Z,10,Infinity,9,10,100', 'not_a_number'],
    ['a hexadecimal price', 'AAPL,2025-11-03T14:30:00Z,0xa,11,9,10,100', 'not_a_number'],
    ['two points', 'AAPL,2025-11-03T14:30:00Z,10.0.1,11,9,10,100', 'not_a_number'],
    ['a point alone', 'AAPL,2025-11-03T14:30:00Z,.,11,9,10,100', 'not_a_number'],
    ['a blank before a number', 'AAPL,2025-11-03T14:30:00Z, 10,11,9,10,100', 'not_a_number'],
    ['no close', 'AAPL,2025-11-03T14:30:00Z,10,11,9,,100', 'missing_field'],
    ['no timestamp', 'AAPL,,10,11,9,10,100', 'missing_field'],
    ['no symbol', ',2025-11-03T14:30:00Z,10,11,9,10,100', 'bad_symbol'],
    ['an unlikely symbol', 'AA-PL,2025-11-03T14:30:00Z,10,11,9,10,100', 'bad_symbol'],
    ['a 30th of February', 'AAPL,2025-02-30T14:30:00Z,10,11,9,10,100', 'bad_timestamp'],
    ['an hour of 24', 'AAPL,2025-11-03T24:00:00Z,10,11,9,10,100', 'bad_timestamp'],
    ['a timestamp without zone', 'AAPL,2025-11-03T14:30:00,10,11,9,10,100', 'bad_timestamp'],
    ['letters in milliseconds', 'AAPL,2025-11-03T14:30:00.x00Z,10,11,9,10,100', 'bad_timestamp'],
    ['a timestamp that is a number', 'AAPL,1762180200,10,11,9,10,100', 'bad_timestamp'],
    ['half a minute', 'AAPL,2025-11-03T14:30:30Z,10,11,9,10,100', 'off_the_minute'],
    ['a negative price', 'AAPL,2025-11-03T14:30:00Z,-10,11,9,10,100', 'non_positive_price'],
    ['high below low', 'AAPL,2025-11-03T14:30:00Z,10,9,11,10,100', 'high_below_low'],
    ['open above high', 'AAPL,2025-11-03T14:30:00Z,12,11,9,10,100', 'outside_range'],
    ['a negative volume', 'AAPL,2025-11-03T14:30:00Z,10,11,9,10,-1', 'negative_volume'],
    ['half a share', 'AAPL,2025-11-03T14:30:00Z,10,11,9,10,0.5', 'fractional_volume'],
    ['a price beyond reason', 'AAPL,2025-11-03T14:30:00Z,10,1e300,9,10,100', 'too_large'],
    ['a line beyond reason', 'A'.repeat(5_000), 'line_too_long'],
  ])('%s', (_, line, refusal) => {
    expect(parse([PLAIN, good, line, good].join('\n'))).toEqual([
      expect.objectContaining({ number: 2, bar: expect.anything() }),
      { number: 3, refusal },
      expect.objectContaining({ number: 4, bar: expect.anything() }),
    ]);
  });

  test.each([
    ['a rev of 5', '1,2025-11-03T14:31:00Z,b,5,A,2025-11-03T14:30:00Z,1,1,1,1,1,1,1', 'bad_rev'],
    ['no rev', '1,2025-11-03T14:31:00Z,b,,A,2025-11-03T14:30:00Z,1,1,1,1,1,1,1', 'bad_rev'],
    ['no arrival', '1,,b,0,A,2025-11-03T14:30:00Z,1,1,1,1,1,1,1', 'missing_field'],
    ['an arrival that is none', '1,now,b,0,A,2025-11-03T14:30:00Z,1,1,1,1,1,1,1', 'bad_timestamp'],
    ['a quote where nobody looks', '1,2025-11-03T14:31:00Z,"b,0,A,2025-11-03T14:30:00Z,1,1,1,1,1,1,1', 'quoted'],
  ])('of a delivery log: %s', (_, line, refusal) => {
    expect(parse(`${LOG}\n${line}\n`)).toEqual([{ number: 2, refusal }]);
  });

  test('blank lines count as lines and are passed over', () => {
    expect(parse(`${PLAIN}\n\n\r\n${good}\nx\n\n`)).toEqual([
      expect.objectContaining({ number: 4, bar: expect.anything() }),
      { number: 5, refusal: 'wrong_field_count' },
    ]);
  });
});

describe('header', () => {
  test.each([
    ['no line at all', '', 'no header'],
    ['an empty first line', `\n${PLAIN}\n`, 'no header'],
    ['data in the first line', 'AAPL,2025-11-03T14:30:00Z,10,11,9,10,100\n', 'unknown column "AAPL"'],
    ['a missing column', 'symbol,timestamp,open,high,low,close\n', 'missing column volume'],
    ['a column of the other form', `${PLAIN},kind\n`, 'unknown column "kind"'],
    ['a column twice', `${PLAIN},open\n`, 'column "open" appears twice'],
    ['an endless line', 'symbol,'.repeat(10_000), 'too long'],
  ])('%s is refused', (_, content, message) => {
    expect(() => parse(content)).toThrow(UnknownHeader);
    expect(() => parse(content)).toThrow(message);
  });
});

describe('numbers', () => {
  test('are read as JavaScript reads them, bit for bit', () => {
    const header = `${PLAIN},vwap`;
    const price = fc.double({ min: 1e-6, max: 1e9, noNaN: true });
    const text = fc.oneof(
      price.map(String),
      fc.tuple(price, fc.nat(12)).map(([value, digits]) => value.toFixed(digits)),
      fc.stringMatching(/^[0-9]{1,9}\.[0-9]{1,12}$/),
      fc.stringMatching(/^[0-9]{0,3}\.?[0-9]{1,3}e-?[0-5]$/),
    );
    fc.assert(
      fc.property(text, (vwap) => {
        fc.pre(Number(vwap) > 0 && Number(vwap) <= 1e9);
        const [found] = barsOf(`${header}\nAAPL,2025-11-03T14:30:00Z,1,1,1,1,1,${vwap}`);
        expect(found!.vwap).toBe(Number(vwap));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('any file', () => {
  const line = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 600 }).map((m) => minute(m)) },
    fc.constantFrom('', '\r', '"', 'a,b', ',,,,,,', 'Ä,€', '\u{1f600}', minute(3).slice(5), 'y'.repeat(4_200)),
    fc.string({ unit: 'binary', maxLength: 40 }).filter((text) => !text.includes('\n')),
  );
  function minute(m: number): string {
    return `AAPL,${new Date(OPEN + m * MINUTE_MS).toISOString()},10,11,9,10.${m},${m}`;
  }

  test('parses the same however it is cut into chunks, whatever its line ends, with or without a byte order mark and a last line end', () => {
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 30 }),
        fc.constantFrom('\n', '\r\n'),
        fc.boolean(),
        fc.boolean(),
        fc.array(fc.nat(), { maxLength: 20 }),
        (lines, lineEnd, mark, lastEnd, cuts) => {
          const clean = lines.map((text) => text.replace(/\r$/, ''));
          const whole = parse([PLAIN, ...clean].join('\n'));
          const content = `${mark ? '\ufeff' : ''}${[PLAIN, ...clean].join(lineEnd)}${lastEnd ? lineEnd : ''}`;
          const bytes = new TextEncoder().encode(content);
          const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
          expect(parse(bytes, at)).toEqual(whole);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('parses the same byte by byte', () => {
    const content = `\ufeff${PLAIN}\r\n${minute(1)}\r\nx\r\n\r\n${minute(2)}`;
    const { length } = new TextEncoder().encode(content);
    const bytewise = parse(
      content,
      Array.from({ length }, (_, at) => at),
    );
    expect(bytewise).toEqual(parse(content));
    expect(bytewise.map((found) => found.number)).toEqual([2, 3, 5]);
  });

  test('keeps no more than a line of what has no line end', () => {
    const parser = createCsvParser();
    parser.push(Buffer.from(`${PLAIN}\n`));
    const chunk = Buffer.alloc(1 << 20, 'x');
    const before = process.memoryUsage().heapUsed + process.memoryUsage().external;
    for (let i = 0; i < 500; i++) parser.push(chunk);
    expect(process.memoryUsage().heapUsed + process.memoryUsage().external - before).toBeLessThan(250 << 20);
    expect(parser.end()).toEqual([{ number: 2, refusal: 'line_too_long' }]);
  });
});
