import { createServer, type RequestListener, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { ApiError } from '@candlewire/contracts';
import { ConfigError } from '@candlewire/runtime';
import { errorBody } from './errors';

/** How long a client may take to send the headers, and the whole request. */
const TIMEOUTS = { headersMs: 10_000, requestMs: 30_000, checkEveryMs: 5_000 };
/** Longer than load balancers keep unused connections (60 s), so that it is they who close them, between requests. */
const KEEP_ALIVE_MS = 65_000;
const HEADERS_MAX = 100;
const HEADERS_BYTES_MAX = 16 * 1024;
/** Beside Node's codes of what is no HTTP. */
const NO_HOST = 'NO_HOST';

export interface HttpServer {
  readonly node: Server;
  /**
   * @returns the port that it listens on
   * @throws ConfigError where the address cannot be had
   */
  listen(port: number, host: string): Promise<number>;
  /** No new connections, and the open ones end with the answer that they are waiting for. */
  stopAccepting(): void;
  /** Resolves when every answer has gone out. */
  drained(): Promise<void>;
  /** Ends what is still open. */
  cut(): void;
}

export interface HttpServerOptions {
  /** TCP connections at one time, WebSockets included; more are closed at once. */
  readonly connectionsMax?: number;
  readonly timeouts?: typeof TIMEOUTS;
}

export function createHttpServer(listener: RequestListener, options: HttpServerOptions = {}): HttpServer {
  const { headersMs, requestMs, checkEveryMs } = options.timeouts ?? TIMEOUTS;
  const node = createServer({
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: checkEveryMs,
    maxHeaderSize: HEADERS_BYTES_MAX,
    // Node's own answer has no body: refused below instead.
    requireHostHeader: false,
  });
  node.maxHeadersCount = HEADERS_MAX;
  if (options.connectionsMax !== undefined) node.maxConnections = options.connectionsMax;
  const closed = new Promise<void>((resolve) => node.once('close', resolve));
  const answering = new Set<ServerResponse>();
  let stopping = false;
  let listened = false;

  node.on('request', (_req, res) => {
    answering.add(res);
    if (stopping) announceEnd(res);
    res.once('close', () => {
      answering.delete(res);
      // Its headers may have gone out before anybody knew that this answer is the connection's last.
      if (stopping) node.closeIdleConnections();
    });
  });
  node.on('request', (req, res) => {
    // Of a target that is none a router knows no more than that, and answers as it likes.
    if (!isTarget(req.url!)) refuse({ code: 'ERR_INVALID_URL' }, req.socket);
    else if (req.headers.host === undefined && req.httpVersion === '1.1') refuse({ code: NO_HOST }, req.socket);
    else listener(req, res);
  });
  node.on('clientError', refuse);

  return {
    node,
    async listen(port, host) {
      const bound = await listen(node, port, host);
      listened = true;
      return bound;
    },
    stopAccepting() {
      stopping = true;
      answering.forEach(announceEnd);
      if (node.listening) node.close();
    },
    drained: () => (stopping && listened ? closed : Promise.resolve()),
    cut: () => node.closeAllConnections(),
  };
}

/** A path, an absolute address as for a proxy, or the `*` of OPTIONS. */
function isTarget(target: string): boolean {
  return target.startsWith('/') || target === '*' || URL.canParse(target);
}

function announceEnd(res: ServerResponse): void {
  if (!res.headersSent) res.setHeader('Connection', 'close');
}

async function listen(node: Server, port: number, host: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    node.once('error', reject);
    node.listen(port, host, () => {
      node.off('error', reject);
      resolve();
    });
  }).catch((err: NodeJS.ErrnoException) => {
    throw new ConfigError([listenProblem(err, port, host)]);
  });
  return (node.address() as AddressInfo).port;
}

function listenProblem(err: NodeJS.ErrnoException, port: number, host: string): string {
  switch (err.code) {
    case 'EADDRINUSE':
      return `PORT: ${port} is in use on ${host}`;
    case 'EACCES':
      return `PORT: ${port} may not be opened by this user`;
    default:
      return `HOST: ${host} is no address of this machine (${err.code ?? err.message})`;
  }
}

/** What is no HTTP never gets as far as a route; its sender gets JSON all the same. */
function refuse(err: Pick<NodeJS.ErrnoException, 'code'>, socket: Duplex): void {
  if (err.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = refusalOf(err.code);
  const body = JSON.stringify(errorBody(new ApiError('invalid_parameter', message)));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function refusalOf(code: string | undefined): [status: number, message: string] {
  if (code === 'HPE_HEADER_OVERFLOW') return [431, `headers: must not exceed ${HEADERS_BYTES_MAX} bytes`];
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return [408, 'request: was not sent in time'];
  if (code === NO_HOST) return [400, 'Host: must be given'];
  return [400, 'request: is not valid HTTP/1.1'];
}
