import { ApiError } from '@candlewire/contracts';
import { type RequestHandler, Router } from 'express';
import { fieldsOf, jsonBody } from './body';
import { refuseOtherMethods } from './errors';

/** As an id looks; whatever else is asked for is not there. */
const ID = /^[0-9a-f-]{1,40}$/;

export interface Work {
  /** Where it is asked for: `/api/rebuilds`. */
  readonly path: string;
  /** What one of them is called. */
  readonly name: string;
  /** Asks for some, and answers with it. @throws ApiError */
  request(fields: Readonly<Record<string, unknown>>): Promise<{ readonly id: string }>;
  /** How far it has come; null where there is none of this id. */
  show(id: string): Promise<object | null>;
}

/**
 * Work that takes its time: `POST` asks for it and is answered with 202 and where to look, `GET` of its id tells how far
 * it has come. The store remembers it, so any replica answers.
 */
export function workRoute({ path, name, request, show }: Work): Router {
  const ask: RequestHandler = async (req, res) => {
    const body = await request(fieldsOf(req.body));
    res.setHeader('Cache-Control', 'no-store');
    res.setHeader('Location', `${path}/${body.id}`);
    res.status(202).json(body);
  };

  const tell: RequestHandler = async (req, res) => {
    const id = String(req.params.id);
    const body = ID.test(id) ? await show(id) : null;
    if (body === null) throw new ApiError('not_found', `there is no such ${name}`);
    res.setHeader('Cache-Control', 'no-store');
    res.json(body);
  };

  const router = Router();
  router
    .route(path)
    .post(...jsonBody, ask)
    .all(refuseOtherMethods('POST', 'OPTIONS'));
  router
    .route(`${path}/:id`)
    .get(tell)
    .all(refuseOtherMethods('GET', 'HEAD', 'OPTIONS'));
  return router;
}
