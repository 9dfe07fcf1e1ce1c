import { type BenchTable, printTable } from './table';

/** Every benchmark by its name; loaded when it is asked for, since each brings libraries to compare with. */
const BENCHES: Readonly<Record<string, () => Promise<BenchTable>>> = {
  indicators: async () => (await import('./indicators.bench.js')).indicatorsBench(),
  store: async () => (await import('./store.bench.js')).storeBench(),
  read: async () => (await import('./read.bench.js')).readBench(),
  replay: async () => (await import('./replay.bench.js')).replayBench(),
  backfill: async () => (await import('./alpaca/backfill.bench.js')).backfillBench(),
  burst: async () => (await import('./alpaca/burst.bench.js')).burstBench(),
  fanout: async () => (await import('./fanout/fanout.bench.js')).fanoutBench(),
  demo: async () => (await import('./demo.bench.js')).demoBench(),
  memory: async () => (await import('./memory.bench.js')).memoryBench(),
};

/** Runs the benchmarks that are named, all where none is, one after the other. */
async function main(names: readonly string[]): Promise<void> {
  const known = Object.keys(BENCHES);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`unknown benchmark ${unknown.join(', ')}; there are ${known.join(', ')}`);
  for (const name of names.length > 0 ? names : known) printTable(await BENCHES[name]!());
}

main(process.argv.slice(2)).catch((err: unknown) => {
  process.stderr.write(`${err instanceof Error ? err.message : String(err)}\n`);
  process.exitCode = 1;
});
