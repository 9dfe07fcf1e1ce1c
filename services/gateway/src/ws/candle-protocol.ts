import { ApiError, CLOSE_CODE, parseSymbol, SYMBOL_RULE } from '@candlewire/contracts';
import { parseLimit, timeframeOf } from '../http/params';
import type { LiveCounters } from '../live/counters';
import type { Live } from '../live/live';
import { intervalOfTimeframe, type Timeframe } from '../timeframes';
import { handleMessages } from './client-messages';
import type { Connection } from './connection';
import type { DemandLeases } from './demand-leases';
import { followIfRoom } from './subscriptions';

/** A client that cannot be given its first candles by then is better off trying another replica. */
const JOIN_MS = 10_000;
const UNAVAILABLE = 'the candles cannot be had now; try again later';

export interface CandleProtocolDeps {
  readonly live: Live;
  readonly leases: DemandLeases;
  readonly counters: LiveCounters;
  /** For what fails and is nobody's mistake. */
  readonly onFailure: (err: unknown) => void;
}

/** What the address of the socket says, as it was sent. */
export interface CandleRequest {
  readonly symbol: string;
  readonly query: URLSearchParams;
}

/** `/ws/candles/{symbol}`: the newest candles of one series, then every change of it. */
export function serveCandles(
  deps: CandleProtocolDeps,
  request: CandleRequest,
  connection: Connection,
): (text: string) => void {
  const wanted = parseRequest(request, connection);
  if (wanted !== null) follow(deps, wanted, connection);
  return handleMessages(connection, {}, deps.onFailure);
}

interface Wanted {
  readonly symbol: string;
  readonly timeframe: Timeframe;
  readonly limit: number;
}

/** null where the client was told what is wrong, and why the connection ends. */
function parseRequest({ symbol: given, query }: CandleRequest, connection: Connection): Wanted | null {
  const symbol = parseSymbol(given);
  if (symbol === null) {
    connection.refuse(CLOSE_CODE.unknown, 'invalid_parameter', `symbol: must be ${SYMBOL_RULE}`);
    return null;
  }
  try {
    return { symbol, timeframe: timeframeOf(only(query, 'timeframe')), limit: parseLimit(only(query, 'limit')) };
  } catch (err) {
    if (!(err instanceof ApiError)) throw err;
    connection.refuse(CLOSE_CODE.badRequest, 'invalid_parameter', err.message);
    return null;
  }
}

function only(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  if (values.length > 1) throw new ApiError('invalid_parameter', `${name}: must be given once`);
  return values[0];
}

function follow({ live, leases, counters }: CandleProtocolDeps, wanted: Wanted, connection: Connection): void {
  const { symbol, timeframe, limit } = wanted;
  const name = { symbol, interval: intervalOfTimeframe(timeframe) };
  const start = { from: 'snapshot', rows: limit } as const;
  const following = followIfRoom(() => live.followSeries(connection, name, 'bar', start));
  if (following === null) {
    connection.refuse(CLOSE_CODE.upstreamGone, 'unavailable', UNAVAILABLE);
    return;
  }
  const hold = leases.hold(symbol);
  counters.subscriptions.candles++;
  const joining = setTimeout(() => {
    if (following.hasBegun) return;
    connection.refuse(CLOSE_CODE.upstreamGone, 'unavailable', UNAVAILABLE);
  }, JOIN_MS);
  const end = (): void => {
    clearTimeout(joining);
    counters.subscriptions.candles--;
    hold.release();
    following.stop();
  };
  connection.onEnd(end);
}
