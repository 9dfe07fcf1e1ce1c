import { handleMessages } from './client-messages';
import type { ClientError, Connection } from './connection';

/** As much of a connection as messages need. */
function fake() {
  const sent: string[] = [];
  const errors: unknown[] = [];
  const connection = {
    hasEnded: false,
    send: (text: string) => void sent.push(text),
    sendError: ({ message }: ClientError, id: unknown) => void errors.push([id, message]),
  };
  return { sent, errors, fields: connection, connection: connection as unknown as Connection };
}

const fail = (err: unknown) => {
  throw err;
};

test('a type that is none is told with those that there are, auth among them', () => {
  const { connection, errors } = fake();
  handleMessages(connection, { subscribe: () => {} }, fail)('{"type":"?","id":7}');
  expect(errors).toEqual([[7, 'type: must be one of subscribe, ping, auth']]);
});

test('messages wait for those before them, and are dropped where the connection ends meanwhile', async () => {
  const { connection, fields, sent } = fake();
  let go = () => {};
  const handled: unknown[] = [];
  const slow = ({ id }: { readonly id?: unknown }) => {
    handled.push(id);
    return new Promise<void>((resolve) => {
      go = resolve;
    });
  };
  const hear = handleMessages(connection, { slow }, fail);
  for (const id of [1, 2, 3]) hear(JSON.stringify({ type: 'slow', id }));
  hear('{"type":"ping"}');
  expect(handled).toEqual([1]);
  go();
  await new Promise(setImmediate);
  expect(handled).toEqual([1, 2]);
  fields.hasEnded = true;
  go();
  await new Promise(setImmediate);
  expect([handled, sent]).toEqual([[1, 2], []]);
});
