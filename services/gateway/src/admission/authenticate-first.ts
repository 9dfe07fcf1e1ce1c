import { CLOSE_CODE } from '@candlewire/contracts';
import type { Connection } from '../ws/connection';
import type { ApiKeys } from './api-keys';

/** Serves a client; what it returns hears the client's messages. */
export type Serve = (connection: Connection) => (text: string) => void;

export interface Authentication {
  readonly apiKeys: ApiKeys;
  /** A client has so long to show a key. */
  readonly authMs: number;
}

/** What a message may be here; any other field is for others. */
interface Said {
  readonly type?: unknown;
  readonly id?: unknown;
  readonly api_key?: unknown;
}

/**
 * `serve` for clients that have shown a key; it begins when they have, so nothing is told before. Waiting → serving, by
 * `{"type":"auth","api_key"}` alone; a ping is answered while waiting; anything else, a wrong key, or nothing within
 * `authMs`: error `unauthorized` and close 4401. A client that needs to show no key may all the same.
 *
 * @param isAuthenticated the key came with the upgrade
 */
export function authenticateFirst({ apiKeys, authMs }: Authentication, isAuthenticated: boolean, serve: Serve): Serve {
  return (connection) => {
    const refuse = (message: string, id?: unknown): void =>
      connection.refuse(CLOSE_CODE.notAuthenticated, 'unauthorized', message, id);
    let receive: ((text: string) => void) | null = null;
    let waiting: NodeJS.Timeout | undefined;

    function authenticate({ api_key, id }: Said): void {
      const isKnown = typeof api_key === 'string' && apiKeys.nameOf(api_key) !== null;
      if (apiKeys.required && !isKnown) {
        refuse('the API key is not valid', id);
        return;
      }
      clearTimeout(waiting);
      connection.send(JSON.stringify({ type: 'authenticated', id }));
      receive ??= serve(connection);
    }

    if (isAuthenticated || !apiKeys.required) receive = serve(connection);
    else {
      waiting = setTimeout(() => refuse(`no API key within ${authMs} ms`), authMs);
      connection.onEnd(() => clearTimeout(waiting));
    }
    return (text) => {
      // Whoever is served already is not read twice, but for what may be another key.
      const said = receive === null || text.includes('auth') ? parsed(text) : null;
      if (said?.type === 'auth') authenticate(said);
      else if (receive !== null) receive(text);
      else if (said?.type === 'ping') connection.send(JSON.stringify({ type: 'pong', id: said.id }));
      else refuse('the first message must be {"type":"auth","api_key":"…"}', said?.id);
    };
  };
}

function parsed(text: string): Said | null {
  try {
    return JSON.parse(text) as Said | null;
  } catch {
    return null;
  }
}
