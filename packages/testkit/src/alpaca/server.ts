import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errorBody, FORBIDDEN, RECENT_SIP, type RestError, TOO_MANY_REQUESTS } from '@candlewire/alpaca';
import { MINUTE_MS } from '@candlewire/contracts';
import { FAKE_KEY, FAKE_SECRET, type FakeAlpaca, type FakeAlpacaOptions, type Plan } from './fake-alpaca';
import type { FaultScript, RequestFault } from './faults';
import { createAlpacaMarket } from './market';
import type { RequestRecord } from './records';
import { answer, type RestAnswer } from './rest';
import { createStreams, credentialsOf } from './streams';

const FREE_PLAN: Plan = { sip: false, symbolsMax: 30, connectionsMax: 1, requestsPerMinute: 10_000 };
const POLL_MS = 5;

/** Starts a server that speaks Alpaca's protocols on a port of this machine; close it at the end. */
export async function startFakeAlpaca(options: FakeAlpacaOptions): Promise<FakeAlpaca> {
  const { market = createAlpacaMarket(), clock, keys = { [FAKE_KEY]: FAKE_SECRET } } = options;
  const plan = { ...FREE_PLAN, ...options.plan };
  let faults: FaultScript = options.faults ?? {};
  const streams = createStreams({ ...options, market, keys, plan, faults: () => faults });
  const requests: Recorded[] = [];
  const ofPath = new Map<string, number>();
  const allowance = createAllowance(plan.requestsPerMinute);

  function handle(req: IncomingMessage, res: ServerResponse): void {
    const { pathname: path, searchParams: query } = new URL(req.url ?? '/', 'http://localhost');
    const record: Recorded = {
      number: requests.length + 1,
      at: Date.now(),
      marketTime: clock.now(),
      path,
      query,
      status: null,
    };
    requests.push(record);
    const numberOfPath = (ofPath.get(path) ?? 0) + 1;
    ofPath.set(path, numberOfPath);
    const { requests: script = {} } = faults;
    const found = { number: record.number, numberOfPath, path, query };
    const fault = (typeof script === 'function' ? script(found) : script[record.number]) ?? null;
    if (fault !== null && 'hang' in fault) return;
    if (fault !== null && 'drop' in fault) {
      req.socket.destroy();
      return;
    }
    const delayMs = fault !== null && 'delayMs' in fault ? fault.delayMs : 0;
    if (delayMs === 0) respond(req, res, record, fault);
    else setTimeout(() => respond(req, res, record, fault), delayMs).unref();
  }

  function respond(req: IncomingMessage, res: ServerResponse, record: Recorded, fault: RequestFault | null): void {
    const { headers, left } = allowance(record.path.startsWith('/v2/stocks') ? 'data' : 'trading');
    const { status, body } = answerOf(req, record, fault, left);
    const retryAfterS =
      fault !== null && 'retryAfterS' in fault && status === fault.status ? fault.retryAfterS : undefined;
    record.status = status;
    res.writeHead(status, {
      'Content-Type': 'application/json; charset=UTF-8',
      ...headers,
      ...(retryAfterS !== undefined && { 'Retry-After': String(retryAfterS) }),
    });
    res.end(body);
  }

  function answerOf(req: IncomingMessage, record: Recorded, fault: RequestFault | null, left: number): RestAnswer {
    const error = (refusal: RestError): RestAnswer => ({ status: refusal.status, body: errorBody(refusal) });
    const credentials = credentialsOf(req);
    if (credentials === null || keys[credentials.key] !== credentials.secret) return error(FORBIDDEN);
    if (left < 0) return error(TOO_MANY_REQUESTS);
    if (fault !== null && 'status' in fault) return error({ message: `scripted ${fault.status}`, ...fault });
    if (fault !== null && 'sip' in fault) return error(RECENT_SIP);
    if (fault !== null && 'badBody' in fault) return { status: 200, body: '{"bars":' };
    if (req.method !== 'GET') return error({ status: 405, message: 'method not allowed' });
    return answer(record.path, record.query, { market, nowMs: clock.now(), sip: plan.sip, fault });
  }

  const server = createServer(handle);
  server.on('upgrade', streams.upgrade);
  await listen(server, options.port ?? 0);
  const { port } = server.address() as AddressInfo;
  const poll = 'set' in clock ? null : setInterval(() => streams.pump(clock.now()), options.pollMs ?? POLL_MS);

  return {
    market,
    origin: `http://127.0.0.1:${port}`,
    streamUrl: (feed = 'iex') => `ws://127.0.0.1:${port}/v2/${feed}`,
    now: () => clock.now(),
    advanceTo(ms) {
      if (!('set' in clock)) throw new TypeError('this clock runs by itself');
      clock.set(ms);
      streams.pump(ms);
    },
    connections: streams.records,
    requests,
    get live() {
      return streams.live;
    },
    setFaults(script) {
      faults = script;
    },
    drop: streams.drop,
    send: streams.send,
    releaseGhosts: streams.releaseGhosts,
    async close() {
      if (poll !== null) clearInterval(poll);
      streams.close();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

type Recorded = { -readonly [Field in keyof RequestRecord]: RequestRecord[Field] };

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

/** Counts requests by host and minute; `left` below 0: too many. */
function createAllowance(requestsPerMinute: number) {
  const used = new Map<string, { readonly minute: number; count: number }>();
  let id = 0;
  return (host: string) => {
    const minute = Math.floor(Date.now() / MINUTE_MS);
    let entry = used.get(host);
    if (entry?.minute !== minute) used.set(host, (entry = { minute, count: 0 }));
    entry.count++;
    const left = requestsPerMinute - entry.count;
    return {
      left,
      headers: {
        'X-RateLimit-Limit': String(requestsPerMinute),
        'X-RateLimit-Remaining': String(Math.max(0, left)),
        'X-RateLimit-Reset': String(((minute + 1) * MINUTE_MS) / 1_000),
        'X-Request-ID': `fake-${++id}`,
      },
    };
  };
}
