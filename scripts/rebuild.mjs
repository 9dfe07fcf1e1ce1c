// npm run rebuild -- --symbols AAPL,MSFT [--from 2024-01-01] [--url http://127.0.0.1:8000] [--api-key …]
// Has candles computed anew from the stored minutes, and says whether they were equal or what differed. What differed has
// been corrected by then, so it is told and no failure; exit code 1 where the rebuild itself failed.
import { parseArgs } from 'node:util';
import { API_OPTIONS, call, Refused } from './api.mjs';

const USAGE = 'npm run rebuild -- --symbols AAPL,MSFT [--from 2024-01-01] [--url http://127.0.0.1:8000] [--api-key …]';
const POLL_MS = 500;
/** Calls in a row that may fail: gateways and Postgres come back. */
const FAILURES_MAX = 20;
const TOLD_MS = 5_000;

function options() {
  const text = { type: 'string' };
  const { values } = parseArgs({ options: { symbols: text, from: text, ...API_OPTIONS } });
  const symbols = (values.symbols ?? '').split(',').map((symbol) => symbol.trim());
  if (symbols.some((symbol) => symbol === '')) throw new Error('--symbols must be symbols with commas between them');
  return { symbols, from: values.from ?? null, url: values.url, key: values['api-key'] };
}

/** Asks until there is an answer, within reason. */
async function persist(act) {
  for (let failures = 1; ; failures++) {
    try {
      return await act();
    } catch (err) {
      if (err instanceof Refused || failures === FAILURES_MAX) throw err;
      await pause();
    }
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, POLL_MS));

/** Differences that were not told yet. They come at the end of their symbol, not of the list. */
function tell(report, told) {
  for (const { symbol, interval, timestamp, kind, fields } of report.differences) {
    const name = `${symbol} ${interval} ${timestamp}`;
    if (told.has(name)) continue;
    told.add(name);
    const values = Object.entries(fields).map(([field, { stored, rebuilt }]) => `${field} ${stored} -> ${rebuilt}`);
    console.log(`${name} ${kind}${values.length > 0 ? `: ${values.join(', ')}` : ''}`);
  }
}

function tellProgress({ state, candles, symbols }) {
  const done = symbols.filter((one) => one.state === 'done' || one.state === 'failed').length;
  const waiting = state === 'requested' ? ' (waits for a leading ingestor and an aggregator)' : '';
  console.error(`${state}: ${done} of ${symbols.length} symbols, ${candles} candles${waiting}`);
}

async function main() {
  const asked = options();
  const { symbols, from } = asked;
  let report = await call(asked, '/api/rebuilds', { symbols, from });
  console.error(`rebuild ${report.id}`);
  const told = new Set();
  let toldAt = 0;
  while (report.state !== 'done') {
    if (Date.now() - toldAt >= TOLD_MS) {
      tellProgress(report);
      toldAt = Date.now();
    }
    tell(report, told);
    await pause();
    report = await persist(() => call(asked, `/api/rebuilds/${report.id}`));
  }
  tell(report, told);
  const failed = report.symbols.filter(({ state }) => state === 'failed');
  for (const { symbol, error } of failed) console.error(`${symbol} failed: ${error}`);
  const { candles, differences_count: count } = report;
  if (count > told.size) console.log(`and ${count - told.size} more`);
  if (count > 0) console.log(`different: ${count} of ${candles} candles, all corrected`);
  else if (failed.length === 0) console.log(`equal: ${candles} candles`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}

main().catch((err) => {
  console.error(err instanceof TypeError && err.cause ? `${err.message}: ${err.cause.message}` : err.message);
  console.error(USAGE);
  process.exitCode = 1;
});
