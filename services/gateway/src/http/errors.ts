import { ApiError, SYMBOL_RULE } from '@candlewire/contracts';
import { boundedLog, type Logger } from '@candlewire/runtime';
import type { ErrorRequestHandler, RequestHandler, Response } from 'express';

export function errorBody({ code, message }: ApiError): { error: { code: string; message: string } } {
  return { error: { code, message } };
}

export function unknownSymbol(symbol: string): ApiError {
  return new ApiError('unknown_symbol', `${symbol} was never seen and is not registered`);
}

function sendError(res: Response, err: ApiError): void {
  res.setHeader('Cache-Control', 'no-store');
  if (err.code === 'unavailable') res.setHeader('Retry-After', 1);
  res.status(err.status).json(errorBody(err));
}

export const notFound: RequestHandler = () => {
  throw new ApiError('not_found', 'there is nothing at this path');
};

/** Last of a route: whatever method came as far as here is not one of `allowed`. */
export function refuseOtherMethods(...allowed: readonly string[]): RequestHandler {
  const list = allowed.join(', ');
  return (_req, res) => {
    res.setHeader('Allow', list);
    sendError(res, new ApiError('method_not_allowed', `only ${list} can be used here`));
  };
}

/** Every error becomes JSON. What was not made for callers stays in the log: they learn no more than that it failed. */
export function errorHandler(logger: Logger): ErrorRequestHandler {
  const log = boundedLog(logger, 'request failed');
  // Express knows an error handler by its four parameters.
  return (err: unknown, req, res, next) => {
    if (res.headersSent) return next(err);
    const told = toldError(err);
    if (told.code === 'internal') log({ method: req.method, route: req.path.slice(0, 100), err });
    sendError(res, told);
  };
}

function toldError(err: unknown): ApiError {
  if (err instanceof ApiError) return err;
  // The router could not decode a parameter in the path, and a symbol is the only kind there is.
  if (err instanceof URIError) {
    return new ApiError('invalid_parameter', `symbol: must be ${SYMBOL_RULE}, and the path percent-encoded UTF-8`);
  }
  return new ApiError('internal', 'something went wrong here; it was logged');
}
