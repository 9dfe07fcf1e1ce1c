import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { aggregatorConfig } from '@candlewire/aggregator';
import {
  ApiHealthResponse,
  BarMessage,
  CandleMessage,
  CandleSchema,
  CandlesResponse,
  ChangedMessage,
  channelsOf,
  decodeEntry,
  ErrorResponse,
  encodeEntry,
  FeedStatus,
  INTERVALS,
  type Interval,
  PARTITIONS,
  PriceMessage,
  ReadyResponse,
  SymbolRow,
  SymbolsResponse,
} from '@candlewire/contracts';
import { gatewayConfig } from '@candlewire/gateway';
import { ingestorConfig } from '@candlewire/ingestor';
import { standaloneConfig } from '@candlewire/standalone';

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

/** What a fenced example says that it is: ```json CandleMessage */
const SCHEMAS = {
  ApiHealthResponse,
  BarMessage,
  CandleMessage,
  CandlesResponse,
  ChangedMessage,
  ErrorResponse,
  FeedStatus,
  JournalEntry,
  PriceMessage,
  ReadyResponse,
  SymbolsResponse,
} as const;
type SchemaName = keyof typeof SCHEMAS;

interface Example {
  readonly page: string;
  readonly schema: string;
  readonly text: string;
}

function examplesOf(page: string): Example[] {
  return [...read(page).matchAll(/^```json(.*)\n([\s\S]*?)^```$/gm)].map(([, schema, text]) => ({
    page,
    schema: schema!.trim(),
    text: text!.trim(),
  }));
}

/** Field names of each table that begins with a column `field`. */
function fieldTablesOf(page: string): string[][] {
  const tables = read(page).match(/^\| field \|.*\n(?:\|.*\n)*/gm) ?? [];
  return tables.map((table) => [...table.matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]!));
}

describe.each(['docs/channels.md', 'docs/http-api.md'])('%s', (page) => {
  const examples = examplesOf(page);

  test.each(examples.map((example) => [example.schema, example] as const))(
    'the example of %s is one',
    (name, { text }) => {
      expect(Object.keys(SCHEMAS)).toContain(name);
      const value: unknown = JSON.parse(text);
      // What a schema does not know it drops: equal means that nothing was invented.
      expect(SCHEMAS[name as SchemaName].parse(value)).toEqual(value);
      // The bytes of a message are as they are published.
      expect(text).toBe(JSON.stringify(value));
    },
  );

  test('each table of fields lists exactly those of a schema, in their order', () => {
    const shapes = [...Object.values(SCHEMAS), CandleSchema, SymbolRow].map((schema) => Object.keys(schema.shape));
    const tables = fieldTablesOf(page);
    expect(tables).not.toHaveLength(0);
    for (const fields of tables) expect(shapes).toContainEqual(fields);
  });
});

test('every message on Redis and every answer has an example', () => {
  const shown = ['docs/channels.md', 'docs/http-api.md'].flatMap(examplesOf).map(({ schema }) => schema);
  expect([...new Set(shown)].sort()).toEqual(Object.keys(SCHEMAS).sort());
});

test('docs/channels.md lists the channels that there are', () => {
  const text = read('docs/channels.md');
  const { bars, candles, prices, feedStatus, journal, journalHead } = channelsOf();
  const placeholder = '{interval}' as Interval;
  const names = [bars('{SYMBOL}'), candles(placeholder, '{SYMBOL}'), prices('{SYMBOL}'), feedStatus];
  for (const name of names) expect(text).toContain(`[\`${name}\`]`);
  expect(text).toContain(`P = 0..${PARTITIONS - 1}`);
  expect([journal(7), journalHead(7)]).toEqual(['md:v1:journal:7', 'md:v1:journal:7:head']);
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
