import type { IncomingMessage } from 'node:http';
import type { CorsOrigins } from '../config';
import type { Refusal } from '../ws/upgrade';
import { challengeTo, unauthorized } from './admit-http';
import { type ApiKeys, keyInHeaders } from './api-keys';

/** An origin is told to the log so far. */
const ORIGIN_MAX = 200;

/** Who may open a WebSocket. */
export interface Guest {
  /** As callers are counted. */
  readonly address: string;
  readonly origin: string | null;
  /** A key was shown with the upgrade, and is one of ours. */
  readonly hasKey: boolean;
}

export interface UpgradeGateDeps {
  readonly apiKeys: ApiKeys;
  readonly addressOf: (req: IncomingMessage) => string;
  readonly corsOrigins: CorsOrigins;
  readonly connectionsMax: number;
  readonly connectionsPerIpMax: number;
}

/** Decides before an upgrade is answered, and counts who came in. */
export interface UpgradeGate {
  /**
   * @param query of the upgrade; the key in it is taken out, so that nothing behind the gate can see or repeat it
   * @returns why there is no way in, or who may come in
   */
  judge(req: IncomingMessage, query: URLSearchParams): { readonly refusal: Refusal } | { readonly guest: Guest };
  /** Counts a guest; what it returns is to be called when the guest has gone. */
  enter(guest: Guest): () => void;
  /** Nobody comes in any more: the gateway is going down. */
  close(): void;
}

export function createUpgradeGate(deps: UpgradeGateDeps): UpgradeGate {
  const { apiKeys, addressOf, connectionsMax, connectionsPerIpMax } = deps;
  const perAddress = new Map<string, number>();
  let total = 0;
  let closed = false;

  function refusalOf(req: IncomingMessage, address: string, key: string | null): Refusal | null {
    if (!isAllowed(deps.corsOrigins, req)) return refused(403, 'forbidden', 'this origin is not allowed');
    if (closed) return refused(503, 'unavailable', 'this gateway is going down', RETRY);
    if (apiKeys.required && key !== null && apiKeys.nameOf(key) === null) {
      return refused(401, 'unauthorized', unauthorized(key).message, { 'WWW-Authenticate': challengeTo(key) });
    }
    if (total >= connectionsMax) return refused(503, 'unavailable', 'too many connections; try again later', RETRY);
    if ((perAddress.get(address) ?? 0) < connectionsPerIpMax) return null;
    return refused(429, 'rate_limited', `more than ${connectionsPerIpMax} connections from one address`, RETRY);
  }

  return {
    judge(req, query) {
      const key = keyInHeaders(req.headers) ?? query.get('api_key');
      query.delete('api_key');
      const address = addressOf(req);
      const refusal = refusalOf(req, address, key);
      if (refusal !== null) return { refusal };
      const origin = req.headers.origin?.slice(0, ORIGIN_MAX) ?? null;
      return { guest: { address, origin, hasKey: apiKeys.nameOf(key) !== null } };
    },
    enter({ address }) {
      total++;
      perAddress.set(address, (perAddress.get(address) ?? 0) + 1);
      return () => {
        total--;
        const left = perAddress.get(address)! - 1;
        if (left === 0) perAddress.delete(address);
        else perAddress.set(address, left);
      };
    },
    close() {
      closed = true;
    },
  };
}

const RETRY = { 'Retry-After': 1 };

function refused(status: number, code: Refusal['code'], message: string, headers: Refusal['headers'] = {}): Refusal {
  return { status, code, message, headers };
}

/** Only browsers send an origin, and only against them does it protect. The gateway's own page may do what it may over HTTP. */
function isAllowed(origins: CorsOrigins, { headers: { origin, host } }: IncomingMessage): boolean {
  if (origins === '*' || origin === undefined || origins.includes(origin)) return true;
  return host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
}
