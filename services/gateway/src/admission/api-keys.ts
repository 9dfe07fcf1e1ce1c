import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

const BEARER = /^bearer(?: +(.*))?$/i;

/** The keys that callers may show. */
export interface ApiKeys {
  /** Whether anybody is asked for one. */
  readonly required: boolean;
  /** A short name of the key that is safe to keep and to log (`key 1`), null where it is none of ours. */
  nameOf(given: string | null): string | null;
}

/** @param keys none: nobody is asked for one */
export function createApiKeys(keys: readonly string[]): ApiKeys {
  const digests = keys.map(digestOf);
  return {
    required: keys.length > 0,
    nameOf(given) {
      if (given === null || digests.length === 0) return null;
      const digest = digestOf(given);
      // Digests are equally long, and each is looked at: the time tells neither length nor place nor a common beginning.
      return digests.reduce<string | null>(
        (name, own, at) => (timingSafeEqual(own, digest) ? `key ${at + 1}` : name),
        null,
      );
    },
  };
}

/**
 * The key that a request shows: `X-API-Key`, else `Authorization: Bearer`, which a proxy on the way may have a use of its
 * own for; null: none at all.
 */
export function keyInHeaders(headers: IncomingHttpHeaders): string | null {
  const own = headers['x-api-key'];
  if (own !== undefined) return String(own);
  const bearer = BEARER.exec(headers.authorization ?? '');
  return bearer === null ? null : (bearer[1]?.trim() ?? '');
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
