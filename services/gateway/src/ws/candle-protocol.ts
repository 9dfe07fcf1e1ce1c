import { ApiError, type Channels, CLOSE_CODE, parseSymbol, SYMBOL_RULE, type WireCandle } from '@candlewire/contracts';
import type { Reads } from '../bound-store';
import { parseLimit, timeframeOf } from '../http/params';
import { encodeBarMessage, historyRows, intervalOfTimeframe, type Timeframe } from '../timeframes';
import { handleMessages } from './client-messages';
import type { Connection } from './connection';
import type { DemandLeases } from './demand-leases';
import type { Hub } from './hub';
import { SeriesFeed } from './series-feed';

export interface CandleProtocolDeps {
  readonly hub: Hub;
  readonly store: Pick<Reads, 'candles' | 'changes'>;
  readonly channels: Pick<Channels, 'candles'>;
  readonly leases: DemandLeases;
  /** Hears of a message on the bus that is none. */
  readonly onRefused: (text: string) => void;
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
  return handleMessages(connection);
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

function follow(deps: CandleProtocolDeps, { symbol, timeframe, limit }: Wanted, connection: Connection): void {
  const { ended } = connection;
  const release = deps.leases.hold(symbol);
  ended.addEventListener('abort', release, { once: true });
  const sink = {
    snapshot({ candlesJson }: { candlesJson: string }) {
      const data = historyRows(candlesJson);
      connection.send(JSON.stringify({ type: 'historical', symbol, timeframe, data }));
    },
    change: (candle: WireCandle) => connection.send(barOf(symbol, timeframe, candle)),
    drained: () => connection.drained(),
  };
  const query = { symbol, interval: intervalOfTimeframe(timeframe), limit };
  new SeriesFeed(deps, query, sink, ended).run().catch((err: unknown) => {
    deps.onFailure(err);
    connection.refuse(CLOSE_CODE.upstreamGone, 'unavailable', 'the candles cannot be had now; try again later');
  });
}

/** A candle from the bus is one object for all who follow its series, and is encoded once. */
const bars = new WeakMap<WireCandle, Buffer>();

/** Hot. */
function barOf(symbol: string, timeframe: Timeframe, candle: WireCandle): Buffer {
  let bar = bars.get(candle);
  if (bar === undefined) bars.set(candle, (bar = Buffer.from(encodeBarMessage(symbol, timeframe, candle))));
  return bar;
}
