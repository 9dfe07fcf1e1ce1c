import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { aggregatorConfig } from '@candlewire/aggregator';
import {
  AllGapsResponse,
  ApiHealthResponse,
  BackfillResponse,
  BarMessage,
  CandleMessage,
  CandleSchema,
  CandlesResponse,
  ChangedMessage,
  CLOSE_CODE,
  channelsOf,
  decodeEntry,
  decodeTicks,
  ErrorResponse,
  encodeEntry,
  FeedStatus,
  GapsResponse,
  INTERVALS,
  type Interval,
  PARTITIONS,
  PriceMessage,
  parseSymbol,
  ReadyResponse,
  RebuildResponse,
  ResetMessage,
  SkippedMessage,
  SnapshotMessage,
  SymbolRow,
  SymbolsResponse,
} from '@candlewire/contracts';
import { gatewayConfig } from '@candlewire/gateway';
import { ingestorConfig } from '@candlewire/ingestor';
import { standaloneConfig } from '@candlewire/standalone';
import { encodeBarMessage, historyRow, type Timeframe } from '../services/gateway/src/timeframes';
import {
  channelOf,
  handleMessages,
  intervalsOf,
  sinceOf,
  snapshotOf,
  symbolsOf,
} from '../services/gateway/src/ws/client-messages';

const ROOT = join(__dirname, '..');
const DOCS = readdirSync(join(ROOT, 'docs')).map((name) => join('docs', name));
const PAGES = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...DOCS];
const read = (page: string) => readFileSync(join(ROOT, page), 'utf8');

/** Written by hand in the code, so it is checked by going through it. */
const JournalEntry = {
  shape: { clock: null, bars: [] },
  parse(value: unknown): unknown {
    const { entry, refused } = decodeEntry(JSON.stringify(value));
    expect(refused).toEqual([]);
    return JSON.parse(encodeEntry(entry));
  },
};

const Ticks = {
  shape: { symbol: null, price: null, time: null, volume: null },
  parse: (value: unknown): unknown => decodeTicks(JSON.stringify(value)),
};
/** Bare texts. */
const SymbolText = { shape: {}, parse: parseSymbol };
const Demand = { shape: {}, parse: (text: unknown): unknown => (/^[1-9]\d*$/.test(String(text)) ? text : null) };

/** A token: how often the lead was taken, a random part, and by whom. */
const Leader = {
  shape: {},
  parse: (text: unknown): unknown => (/^[1-9]\d*:[0-9a-f-]{36}:.+$/.test(String(text)) ? text : null),
};

const text = PriceMessage.shape.symbol;
const { open, high, low, close, volume, market_status } = CandleSchema.shape;
const { change, change_percent } = PriceMessage.shape;
const pricesOfLatest = { open, high, low, close, volume, change, change_percent, market_status };
const newYorkTime = FeedStatus.shape.updated_at;

/** Nothing but these fields, each of them one. */
function record(fields: Readonly<Record<string, { parse(value: unknown): unknown }>>) {
  const parse = (value: unknown): unknown => {
    const given = value as Record<string, unknown>;
    return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.parse(given[name])]));
  };
  return { shape: fields, parse };
}

const constant = (value: string) => ({ parse: () => value });
const anything = { parse: (value: unknown) => value };
const list = (one: { parse(value: unknown): unknown }) => ({
  parse: (value: unknown) => (value as unknown[]).map((item) => one.parse(item)),
});
/** Made by the gateway's own encoders: their keys in their order, times as they write them. */
type Row = Parameters<typeof historyRow>[0];
const historyRows = list({ parse: (row) => historyRow(row as Row) });
const Bar = {
  shape: {},
  parse(value: unknown): unknown {
    const { symbol, timeframe, ...candle } = value as Row & { symbol: string; timeframe: Timeframe };
    return JSON.parse(encodeBarMessage(symbol, timeframe, candle));
  },
};
const fieldsOfPage = { symbol: text, timeframe: text, data: historyRows };

/** What a client may say: read as the gateway reads it. */
const ClientMessage = {
  shape: {},
  parse(value: unknown): unknown {
    const answers: unknown[] = [];
    const answer = (message: unknown) => void answers.push(message);
    const connection = { send: answer, sendError: answer } as unknown as Parameters<typeof handleMessages>[0];
    const named: string[][] = [];
    const read = (message: Parameters<typeof symbolsOf>[0]) => {
      channelOf(message);
      intervalsOf(message);
      snapshotOf(message);
      sinceOf(message);
      named.push([...symbolsOf(message)]);
    };
    const failed = (err: unknown) => void answers.push(err);
    handleMessages(connection, { subscribe: read, unsubscribe: read }, failed)(JSON.stringify(value));
    const { type, id, symbols } = value as { type: string; id?: unknown; symbols?: string[] };
    if (type === 'ping') expect(answers).toEqual([JSON.stringify({ type: 'pong', id })]);
    else expect([answers, named]).toEqual([[], [symbols]]);
    return value;
  },
};
const acknowledgement = (type: string, channel: string, more = {}) =>
  record({ type: constant(type), id: anything, channel: constant(channel), symbols: list(text), ...more });

/** What a fenced example says that it is: ```json CandleMessage */
const SCHEMAS = {
  AllGapsResponse,
  Auth: record({ type: constant('auth'), id: anything, api_key: text }),
  Authenticated: record({ type: constant('authenticated'), id: anything }),
  ApiHealthResponse,
  BackfillRequest: record({ symbols: list(text), start: text, end: text }),
  BackfillResponse,
  Bar,
  BarMessage,
  CandleMessage,
  CandlesResponse,
  ChangedMessage,
  Demand,
  Error: record({ type: constant('error'), id: anything, code: text, message: text }),
  ErrorResponse,
  FeedStatus,
  GapsResponse,
  Heartbeat: record({ type: constant('heartbeat'), timestamp: PriceMessage.shape.timestamp }),
  Historical: record({ type: constant('historical'), ...fieldsOfPage }),
  HistoricalResponse: record(fieldsOfPage),
  JournalEntry,
  Leader,
  LeftOut: record({ type: constant('left_out'), symbols: list(text) }),
  LatestResponse: record({ symbol: text, price: open, timestamp: newYorkTime, ...pricesOfLatest }),
  Ping: ClientMessage,
  Pong: record({ type: constant('pong'), id: anything }),
  PriceMessage,
  ReadyResponse,
  RebuildRequest: record({ symbols: list(text), from: RebuildResponse.shape.from }),
  RebuildResponse,
  ResetMessage,
  RegisterRequest: record({ symbol: text, name: SymbolRow.shape.name }),
  SkippedMessage,
  SnapshotMessage,
  Shutdown: record({ type: constant('shutdown'), reconnect_after_ms: volume }),
  Subscribe: ClientMessage,
  Subscribed: acknowledgement('subscribed', 'prices'),
  SubscribedCandles: acknowledgement('subscribed', 'candles', { intervals: list(text) }),
  SymbolText,
  SymbolResponse: SymbolRow,
  SymbolsResponse,
  Ticks,
  Unsubscribe: ClientMessage,
  Unsubscribed: acknowledgement('unsubscribed', 'prices'),
} as const;
type SchemaName = keyof typeof SCHEMAS;

interface Example {
  readonly schema: string;
  readonly text: string;
  readonly isJson: boolean;
}

function examplesOf(page: string): Example[] {
  return [...read(page).matchAll(/^```(json|text)(.*)\n([\s\S]*?)^```$/gm)].map(([, kind, schema, text]) => ({
    schema: schema!.trim(),
    text: text!.trim(),
    isJson: kind === 'json',
  }));
}

/** Field names of each table that begins with a column `field`. */
function fieldTablesOf(page: string): string[][] {
  const tables = read(page).match(/^\| field \|.*\n(?:\|.*\n)*/gm) ?? [];
  return tables.map((table) => [...table.matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]!));
}

const EXAMPLE_PAGES = ['docs/channels.md', 'docs/http-api.md', 'docs/ws-api.md'];

describe.each(EXAMPLE_PAGES)('%s', (page) => {
  const examples = examplesOf(page);

  test.each(examples.map((example) => [example.schema, example] as const))(
    'the example of %s is one',
    (name, { text, isJson }) => {
      expect(Object.keys(SCHEMAS)).toContain(name);
      const value: unknown = isJson ? JSON.parse(text) : text;
      // What a schema does not know it drops: equal means that nothing was invented. Bytes are as they are published.
      const parsed: unknown = SCHEMAS[name as SchemaName].parse(value);
      expect(isJson ? JSON.stringify(parsed) : parsed).toBe(text);
    },
  );

  test('each table of fields lists exactly those of a schema, in their order', () => {
    const shapes = [...Object.values(SCHEMAS), CandleSchema, SymbolRow].map((schema) => Object.keys(schema.shape));
    for (const fields of fieldTablesOf(page)) expect(shapes).toContainEqual(fields);
  });
});

test('every message and every answer has an example, and those of bars their tables', () => {
  const shown = EXAMPLE_PAGES.flatMap(examplesOf).map(({ schema }) => schema);
  expect([...new Set(shown)].sort()).toEqual(Object.keys(SCHEMAS).sort());
  expect(EXAMPLE_PAGES.flatMap(fieldTablesOf).length).toBeGreaterThan(9);
});

test('docs/ws-api.md lists close codes that there are', () => {
  const codes = [...read('docs/ws-api.md').matchAll(/^\| (\d{4}(?:, \d{4})*) \|/gm)].flatMap((row) =>
    row[1]!.split(', '),
  );
  const ours = Object.values(CLOSE_CODE).map(String);
  // The library's, and what a browser calls a connection that was cut off.
  for (const code of codes) expect(['1002', '1006', '1007', ...ours]).toContain(code);
  const unsent: readonly number[] = [CLOSE_CODE.normal, CLOSE_CODE.goingAway];
  for (const code of Object.values(CLOSE_CODE)) if (!unsent.includes(code)) expect(codes).toContain(String(code));
});

test('docs/channels.md lists the channels that there are', () => {
  const text = read('docs/channels.md');
  const { bars, candles, prices, feedStatus, symbols, demand, demandOrder, ticks, journal, journalHead } = channelsOf();
  const { leader, leaderCount } = channelsOf();
  const placeholder = '{interval}' as Interval;
  const names = [bars('{SYMBOL}'), candles(placeholder, '{SYMBOL}'), prices('{SYMBOL}'), feedStatus, symbols, demand];
  for (const name of names) expect(text).toContain(`[\`${name}\`]`);
  expect(text).toContain(`P = 0..${PARTITIONS - 1}`);
  expect([journal(7), journalHead(7)]).toEqual(['md:v1:journal:7', 'md:v1:journal:7:head']);
  expect(ticks(7)).toBe('md:v1:ticks:7');
  expect(text).toContain('[`md:v1:ticks:{P}`]');
  expect(text).toContain(`\`${demandOrder}\``);
  expect(text).toContain(`[\`${leader}\`]`);
  expect(text).toContain(`\`${leaderCount}\``);
  expect(text).toContain('[`md:v1:journal:{P}`]');
  expect(text).toContain('`md:v1:journal:{P}:head`');
  for (const interval of INTERVALS) expect(text).toContain(`\`${interval}\``);
});

test('the README lists every environment variable, and no other', () => {
  const known = { ...ingestorConfig, ...aggregatorConfig, ...gatewayConfig, ...standaloneConfig };
  const section = /## Environment\n([\s\S]*?)\n## /.exec(read('README.md'))![1]!;
  const rows = [...section.matchAll(/^\| (`[A-Z].*?) \|/gm)].flatMap(([, cell]) => [...cell!.matchAll(/`(\w+)`/g)]);
  expect(rows.map((match) => match[1]!).sort()).toEqual(Object.keys(known).sort());
});

test.each(PAGES)('commands and links of %s lead somewhere', (page) => {
  const text = read(page);
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const [, name] of text.matchAll(/`npm (?:run )?([a-z:]+)/g)) expect(Object.keys(scripts)).toContain(name);
  for (const [, target] of text.matchAll(/\]\(([^)]+)\)/g)) {
    const [file, anchor] = target!.split('#') as [string, string | undefined];
    const path = file === '' ? page : join(dirname(page), file);
    expect([target, existsSync(join(ROOT, path))]).toEqual([target, true]);
    if (anchor !== undefined) expect(anchorsOf(path)).toContain(anchor);
  }
});

function anchorsOf(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(' ', '-')
      .replace(/[^\w-]/g, ''),
  );
}
