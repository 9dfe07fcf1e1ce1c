/** A mistake of the caller: asking again does not help. */
export class Refused extends Error {}

const CALL_MS = 15_000;

/** What every command that talks to a gateway takes; the key may be in API_KEY as well. */
export const API_OPTIONS = {
  url: { type: 'string', default: `http://127.0.0.1:${process.env.PORT || 8000}` },
  'api-key': { type: 'string', default: process.env.API_KEY ?? '' },
};

/** @throws Refused where the gateway says that the call is wrong; any other error may pass */
export async function call({ url, key }, path, body) {
  const response = await fetch(new URL(path, url), {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json', ...(key === '' ? {} : { 'x-api-key': key }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(CALL_MS),
  });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  let message = text.slice(0, 200);
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // It was no gateway's answer.
  }
  const Failure = response.status < 500 && response.status !== 429 ? Refused : Error;
  throw new Failure(`${response.status}: ${message}`);
}
