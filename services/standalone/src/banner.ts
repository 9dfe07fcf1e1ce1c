import { ApiHealthResponse, SymbolsResponse } from '@candlewire/contracts';
import { pause, silentLogger } from '@candlewire/runtime';
import { connectStore } from '@candlewire/store';

/** So long the banner waits for everything to be ready before it tells what is not. */
const READY_WAIT_MS = 15_000;
const POLL_MS = 100;
const ANSWER_MS = 2_000;

export interface Whereabouts {
  /** Of the gateway, e.g. `http://127.0.0.1:8000`. */
  readonly origin: string;
  readonly postgres: string;
  /** Which Redis, or that there is none. */
  readonly bus: string;
  readonly databaseUrl: string;
  /** Command that shows what is published; null where there is no Redis. */
  readonly redisCli: string | null;
}

/** What runs on what and where to look, once it can be looked at. Ends early, with null, where `signal` is aborted. */
export async function describeRunning(where: Whereabouts, signal: AbortSignal): Promise<string | null> {
  const until = Date.now() + READY_WAIT_MS;
  while (!signal.aborted && !(await isReady(where.origin)) && Date.now() < until) await pause(POLL_MS, signal);
  if (signal.aborted) return null;
  const health = ApiHealthResponse.safeParse(await get(`${where.origin}/api/health`)).data;
  const symbols = SymbolsResponse.safeParse(await get(`${where.origin}/api/symbols`)).data?.symbols;
  const calendar = await calendarOf(where.databaseUrl);
  const symbol = symbols?.[0]?.symbol ?? 'AAPL';
  return `
Candlewire is ${health?.status === 'healthy' ? 'up' : 'up, but not ready yet (see /ready)'}.

  Gateway   ${where.origin}
  Source    ${health?.source.kind ?? 'not known yet'}, ${health?.source.state ?? 'connecting'}${calendar ? `; calendar ${calendar}` : ''}
  Postgres  ${where.postgres}
  Bus       ${where.bus}

  ${where.origin}/  in a browser
  curl ${where.origin}/ready
  curl ${where.origin}/api/symbols
  curl '${where.origin}/api/candles/${symbol}?interval=5m&limit=3'
  npx wscat -c ${where.origin.replace(/^http/, 'ws')}/ws -x '{"type":"subscribe","symbols":["${symbol}"]}' -w 10${where.redisCli === null ? '' : `\n  ${where.redisCli}`}

Ctrl-C stops all of it; what was stored is kept.
`;
}

async function isReady(origin: string): Promise<boolean> {
  return (await get(`${origin}/ready`)) !== null;
}

/** The body of a 2xx answer, else null. */
async function get(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
    const body: unknown = await response.json();
    return response.ok ? body : null;
  } catch {
    return null;
  }
}

async function calendarOf(databaseUrl: string): Promise<string | undefined> {
  const store = connectStore({ url: databaseUrl, logger: silentLogger });
  try {
    return (await store.identity())?.calendar;
  } catch {
    return undefined;
  } finally {
    await store.close();
  }
}
