import { ApiError } from '@candlewire/contracts';
import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import { invalid } from './params';

const BODY_BYTES_MAX = 64 * 1024;

/** What the parser says of a body that is too long. */
const TOO_LARGE = 'entity.too.large';

/** Whatever a body calls itself, it is read as JSON: there is nothing else that it could be meant as. */
const parse = express.json({
  limit: BODY_BYTES_MAX,
  type: () => true,
  inflate: false,
  verify(_req, _res, bytes) {
    // The parser would take it for an empty object.
    if (bytes.length === 0) throw new RangeError('empty');
  },
});

const refuse: ErrorRequestHandler = (err: { type?: unknown }, _req, _res, next) => {
  if (err.type === TOO_LARGE) next(new ApiError('payload_too_large', `body: must not exceed ${BODY_BYTES_MAX} bytes`));
  else next(invalid('body', 'must be a JSON object in UTF-8, not compressed'));
};

/** Reads the body of a request, which must be a JSON object. */
export const jsonBody: (RequestHandler | ErrorRequestHandler)[] = [parse, refuse];

/** The fields of a body that {@link jsonBody} has read. */
export function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('body', 'must be a JSON object');
  return body as Record<string, unknown>;
}
