// npm run backfill -- AAPL,MSFT --from 2024-01-01 [--to 2024-06-30] [--url http://127.0.0.1:8000] [--api-key …]
// Asks a running system to fetch history (again), and shows how far that has come. Started once more, it looks at the one that is
// under way. Exit code 1 where some of it failed.
import { parseArgs } from 'node:util';
import { API_OPTIONS, call, Refused } from './api.mjs';

const POLL_MS = 1_000;
/** Lines on something that is no terminal. */
const LINE_MS = 5_000;
/** A gateway may be away for so long: the work goes on without it. */
const PATIENCE_MS = 120_000;
/** bars/s is that of so many seconds. */
const RATE_MS = 10_000;
const BAR_COLUMNS = 24;
const USAGE =
  'npm run backfill -- AAPL,MSFT --from 2024-01-01 [--to 2024-06-30] [--url http://127.0.0.1:8000] [--api-key KEY]\n' +
  'Times are New York days, or RFC 3339 instants with a zone. The key may be in API_KEY.';

function optionsOf(argv) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      from: { type: 'string' },
      to: { type: 'string' },
      ...API_OPTIONS,
      help: { type: 'boolean', default: false },
    },
  });
  const symbols = positionals.flatMap((text) => text.split(',')).filter((text) => text !== '');
  if (values.help || symbols.length === 0 || !values.from) throw new Refused(USAGE);
  if (!URL.canParse(values.url)) throw new Refused(`--url: ${values.url} is no address`);
  return { symbols, start: values.from, end: values.to, url: values.url, key: values['api-key'] };
}

/** Tries until there is an answer, and says once that it waits. */
async function answered(options, path, body) {
  const since = Date.now();
  for (let told = false; ; ) {
    try {
      return await call(options, path, body);
    } catch (err) {
      if (err instanceof Refused || Date.now() - since > PATIENCE_MS) throw err;
      const why = err.cause?.code ?? err.message;
      if (!told)
        process.stderr.write(`${clear()}${new URL(options.url).origin} does not answer (${why}): trying again\n`);
      told = true;
      await sleep(POLL_MS);
    }
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const clear = () => (process.stdout.isTTY ? '\r\x1b[2K' : '');
const duration = (s) =>
  s >= 5_400 ? `${Math.round(s / 3_600)} h` : s >= 90 ? `${Math.round(s / 60)} min` : `${Math.round(s)} s`;

/** Why it does not go on, where that is known; null: it does, or is over. */
function waitsFor({ state, jobs_total: total, symbols }) {
  if (state === 'done' || state === 'failed') return null;
  const waiting = symbols.filter((one) => (one.state === 'queued' || one.state === 'running') && one.reason !== null);
  if (waiting.length > 0) {
    const [{ symbol, reason }] = waiting;
    const others = waiting.filter((one) => one.reason === reason).length - 1;
    return `${symbol}${others > 0 ? ` and ${others} more` : ''}: ${reason}`;
  }
  if (total === null) return 'waits for a leading ingestor, and for backfills before it';
  return state === 'queued' ? 'waits for ranges before it' : null;
}

/** One line: how far, what it waits for, how fast, how long. The bar takes what a terminal has left for it. */
function lineOf(now, report, first, recent, waiting) {
  const { jobs_done: done, jobs_total: total, bars } = report;
  const rate = recent.length < 2 ? 0 : ((bars - recent[0].bars) * 1_000) / Math.max(1, now - recent[0].at);
  const speed = (done - first.done) / Math.max(1, now - first.at);
  const part = total === null ? 0 : total === 0 ? 1 : done / total;
  const text = [
    `${Math.floor(part * 100)} %`,
    `${done}/${total ?? '?'} ranges`,
    waiting,
    `${bars} bars`,
    `${Math.round(rate)} bars/s`,
    speed > 0 && total !== null ? `${duration((total - done) / speed / 1_000)} left` : null,
  ]
    .filter((one) => one !== null)
    .join(' · ');
  const columns = Math.min(BAR_COLUMNS, width() - text.length - '[] '.length);
  if (columns <= 0) return text;
  const filled = Math.floor(part * columns);
  return `[${'#'.repeat(filled)}${'.'.repeat(columns - filled)}] ${text}`;
}

/** A full line would go on in the next one, which is not cleared. */
const width = () => (process.stdout.isTTY ? (process.stdout.columns || 80) - 1 : Number.POSITIVE_INFINITY);

function show(text, isLast) {
  if (!process.stdout.isTTY) return process.stdout.write(`${text}\n`);
  return process.stdout.write(`${clear()}${text.slice(0, width())}${isLast ? '\n' : ''}`);
}

async function main(argv) {
  const options = optionsOf(argv);
  const { symbols, start, end } = options;
  let report = await answered(options, '/api/backfills', { symbols, start, ...(end ? { end } : {}) });
  const path = `/api/backfills/${report.id}`;
  process.stdout.write(`backfill ${report.id}: ${symbols.join(', ')} from ${report.start} to ${report.end}\n`);
  process.on('SIGINT', () => {
    const look = new URL(path, options.url).href;
    process.stdout.write(`${clear()}It goes on in the background. Look again: the same command, or curl ${look}\n`);
    process.exit(130);
  });
  const first = { at: Date.now(), done: report.jobs_done };
  const recent = [];
  for (let shownAt = 0, told = null; ; ) {
    const now = Date.now();
    recent.push({ at: now, bars: report.bars });
    while (recent.length > 2 && now - recent[0].at > RATE_MS) recent.shift();
    const isOver = report.state === 'done' || report.state === 'failed';
    const waiting = waitsFor(report);
    const isNews = waiting !== null && waiting !== told;
    if (isOver || process.stdout.isTTY || isNews || now - shownAt >= LINE_MS) {
      show(lineOf(now, report, first, recent, waiting), isOver);
      shownAt = now;
      told = waiting;
    }
    if (isOver) break;
    await sleep(POLL_MS);
    report = await answered(options, path);
  }
  if (report.state === 'done') {
    process.stdout.write(`done: ${report.bars} bars\n`);
    return;
  }
  const failed = report.symbols.filter(({ state }) => state === 'failed');
  const reasons = failed.map(({ symbol, reason }) => `${symbol}: ${reason ?? report.reason}`);
  throw new Refused(`failed: ${reasons.join('; ') || report.reason}`);
}

main(process.argv.slice(2)).catch((err) => {
  process.stderr.write(
    `${clear()}${err instanceof Refused ? err.message : `no answer: ${err.cause?.code ?? err.message}`}\n`,
  );
  process.exitCode = 1;
});
