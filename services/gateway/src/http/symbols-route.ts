import { type RequestHandler, Router } from 'express';
import type { Reads, Writes } from '../bound-store';
import { fieldsOf, jsonBody } from './body';
import { refuseOtherMethods, unknownSymbol } from './errors';
import { invalid, symbolOf } from './params';

const NAME_LENGTH_MAX = 100;

export interface SymbolsRouteDeps {
  readonly store: Pick<Reads, 'symbols'> & Writes;
  /** Tells whoever delivers symbols, or asks for them, that this one is to be delivered, or no longer. Best effort. */
  readonly announce: (symbol: string, active: boolean) => void;
}

/** `/api/symbols`: every symbol that was ever registered or seen, and which of them are delivered. */
export function symbolsRoute({ store, announce }: SymbolsRouteDeps): Router {
  const list: RequestHandler = async (_req, res) => {
    const symbols = await store.symbols();
    res.setHeader('Cache-Control', 'no-cache');
    res.json({ symbols });
  };

  const register: RequestHandler = async (req, res) => {
    const fields = fieldsOf(req.body);
    const symbol = symbolOf(fields.symbol);
    const made = await store.register([{ symbol, name: nameOf(fields.name) }]);
    announce(symbol, true);
    const [row] = await store.symbols(symbol);
    res.setHeader('Cache-Control', 'no-store');
    res.status(made.length > 0 ? 201 : 200).json(row);
  };

  const deactivate: RequestHandler = async (req, res) => {
    const symbol = symbolOf(req.params.symbol);
    if (!(await store.deactivate(symbol))) throw unknownSymbol(symbol);
    announce(symbol, false);
    res.status(204).end();
  };

  const router = Router();
  router
    .route('/api/symbols')
    .get(list)
    .post(...jsonBody, register)
    .all(refuseOtherMethods('GET', 'HEAD', 'POST', 'OPTIONS'));
  router.route('/api/symbols/:symbol').delete(deactivate).all(refuseOtherMethods('DELETE', 'OPTIONS'));
  return router;
}

function nameOf(value: unknown): string | null {
  const name = value ?? null;
  if (name === null) return null;
  // Postgres keeps no NUL, and half a surrogate pair is no text.
  if (typeof name !== 'string' || name.length > NAME_LENGTH_MAX || name.includes('\0') || /\p{Cs}/u.test(name)) {
    throw invalid('name', `must be a text of at most ${NAME_LENGTH_MAX} characters, or null`);
  }
  return name;
}
