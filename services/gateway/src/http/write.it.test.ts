import { request as httpRequest } from 'node:http';
import { ErrorResponse, SymbolRow } from '@candlewire/contracts';
import { describeWithRedis, waitFor } from '@candlewire/testkit';
import { type TestGateway, type WsRig, wsRig } from '../ws/rig.suite';

describeWithRedis('symbols, history and page', () => {
  let rig: WsRig;
  let one: TestGateway;

  beforeAll(async () => {
    rig = await wsRig();
    one = await rig.gateway();
    await rig.writer.commit('AAPL', '1d', [[-1_440, 90]]);
    await rig.writer.commit('AAPL', '1m', [
      [0, 100],
      [1, 99],
    ]);
  });
  afterAll(() => rig.close());

  const call = (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}) =>
    fetch(one.origin + path, { method, body: body ?? null, headers });
  const post = (value: unknown) => call('POST', '/api/symbols', JSON.stringify(value));

  async function refused(response: Response, status: number, code: string, name: RegExp): Promise<void> {
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    const { error } = ErrorResponse.strict().parse(await response.json());
    expect([response.status, error.code]).toEqual([status, code]);
    expect(error.message).toMatch(name);
  }

  test('a symbol is registered once, its row is the answer, and whoever delivers is told', async () => {
    const announced: string[] = [];
    const stop = await rig.bus.subscribe(rig.channels.symbols, (text) => announced.push(text));
    const made = await post({ symbol: 'new', name: 'New Inc.', other: 1 });
    expect(made.status).toBe(201);
    const row = SymbolRow.strict().parse(await made.json());
    expect(row).toEqual({ symbol: 'NEW', name: 'New Inc.', active: true, last_price: null, last_timestamp: null });
    const again = await post({ symbol: 'NEW', name: null });
    expect([again.status, await again.json()]).toEqual([200, row]);
    await waitFor(() => announced.length === 2);

    expect((await call('DELETE', '/api/symbols/new')).status).toBe(204);
    await waitFor(() => announced.length === 3);
    expect(announced).toEqual(['NEW', 'NEW', 'NEW']);
    expect(await rig.db.store.symbols('NEW')).toMatchObject([{ active: false }]);
    await refused(await call('DELETE', '/api/symbols/NOBODY'), 404, 'unknown_symbol', /NOBODY/);
    await refused(await call('DELETE', '/api/symbols/1'), 400, 'invalid_parameter', /^symbol/);
    expect((await post({ symbol: 'NEW' })).status).toBe(200);
    expect(await rig.db.store.symbols('NEW')).toMatchObject([{ active: true, name: 'New Inc.' }]);
    await stop();
  });

  test.each([
    ['no body', undefined, /^body/],
    ['no JSON', 'symbol=AAPL', /^body/],
    ['a list', '[]', /^body/],
    ['a text', '"AAPL"', /^body/],
    ['null', 'null', /^body/],
    ['broken UTF-8 of a symbol', Buffer.from([...Buffer.from('{"symbol":"'), 0xff, 0x22, 0x7d]), /^symbol/],
    ['no symbol', '{}', /^symbol/],
    ['a bad symbol', '{"symbol":"A/B"}', /^symbol/],
    ['a list of symbols', '{"symbol":["AAPL"]}', /^symbol/],
    ['a long name', JSON.stringify({ symbol: 'X', name: 'x'.repeat(101) }), /^name/],
    ['a number for a name', '{"symbol":"X","name":1}', /^name/],
    ['a name that is no text for Postgres', '{"symbol":"X","name":"\\u0000"}', /^name/],
    ['half a character', '{"symbol":"X","name":"\\ud800"}', /^name/],
  ])('%s is refused by name', async (_what, body, name) => {
    await refused(await call('POST', '/api/symbols', body), 400, 'invalid_parameter', name);
    expect(await rig.db.store.knowsSymbol('X')).toBe(false);
  });

  test('a body over 64 KiB is too large, one below is read, a compressed one is refused', async () => {
    const ofBytes = (bytes: number) => `{"symbol":"BIG","x":"${'x'.repeat(bytes - 23)}"}`;
    expect((await call('POST', '/api/symbols', ofBytes(65_536))).status).toBe(201);
    await refused(await call('POST', '/api/symbols', ofBytes(65_537)), 413, 'payload_too_large', /^body/);
    const zipped = await call('POST', '/api/symbols', '{}', { 'Content-Encoding': 'gzip' });
    await refused(zipped, 400, 'invalid_parameter', /^body/);
  });

  test('what can be done with symbols is told', async () => {
    expect((await call('PUT', '/api/symbols')).headers.get('allow')).toBe('GET, HEAD, POST, OPTIONS');
    expect((await call('GET', '/api/symbols/AAPL')).headers.get('allow')).toBe('DELETE, OPTIONS');
  });

  test('history is the newest candles in New York time, keys in order', async () => {
    const response = await call('GET', '/api/symbols/aapl/historical?limit=1');
    expect(await response.text()).toBe(
      '{"symbol":"AAPL","timeframe":"1Min","data":[{"timestamp":"2025-11-03T09:31:00-05:00","open":99,"high":99.5,"low":98.75,"close":99,"volume":100,"market_status":"regular","ATR":null,"RSI":null,"MA40":null,"MA80":null,"MA160":null}]}',
    );
    const day = (await (await call('GET', '/api/symbols/AAPL/historical?timeframe=1Day')).json()) as { data: object[] };
    expect(day.data).toMatchObject([{ timestamp: '2025-11-02T09:30:00-05:00', close: 90 }]);
    const empty = await call('GET', '/api/symbols/NEW/historical?timeframe=1Hour');
    expect(await empty.json()).toEqual({ symbol: 'NEW', timeframe: '1Hour', data: [] });
    await refused(await call('GET', '/api/symbols/NOBODY/historical'), 404, 'unknown_symbol', /NOBODY/);
    for (const [query, name] of [
      ['timeframe=1m', /^timeframe.*1Min, 5Min, 1Hour, 1Day/],
      ['timeframe=toString', /^timeframe/],
      ['limit=0', /^limit/],
      ['limit=1001', /^limit/],
      ['limit=1&limit=1', /^limit/],
    ] as const) {
      await refused(await call('GET', `/api/symbols/AAPL/historical?${query}`), 400, 'invalid_parameter', name);
    }
  });

  test('the latest minute has its price against the day before', async () => {
    const response = await call('GET', '/api/symbols/aapl/latest');
    expect(await response.text()).toBe(
      '{"symbol":"AAPL","price":99,"timestamp":"2025-11-03T09:31:00-05:00","open":99,"high":99.5,"low":98.75,"close":99,"volume":100,"change":9,"change_percent":10,"market_status":"regular"}',
    );
    await refused(await call('GET', '/api/symbols/NEW/latest'), 404, 'not_found', /NEW/);
    await refused(await call('GET', '/api/symbols/NOBODY/latest'), 404, 'unknown_symbol', /NOBODY/);
  });

  test('the page is HTML that may run its own script alone', async () => {
    const response = await call('GET', '/');
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const policy = response.headers.get('content-security-policy')!;
    expect(policy).toMatch(/^default-src 'none';style-src 'sha256-[^']+';script-src 'sha256-[^']+';connect-src 'self'/);
    const html = await response.text();
    expect(html).not.toMatch(/https?:|\son\w+=|\sstyle=/);
    for (const path of ['/health', '/ready', '/api/health', '/api/symbols']) expect(html).toContain(`href="${path}"`);
  });

  test('a request that merely offers HTTP/2 is answered as if it had not', async () => {
    const body = '{"symbol":"OFFERED"}';
    const answer = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const headers = {
        Connection: 'Upgrade, HTTP2-Settings',
        Upgrade: 'h2c',
        'HTTP2-Settings': 'AAMAAABkAAQCAAAAAAIAAAAA',
        'Content-Length': body.length,
      };
      const sent = httpRequest(`${one.origin}/api/symbols`, { method: 'POST', headers }, (res) => {
        let text = '';
        res.on('data', (bytes) => (text += bytes));
        res.on('end', () => resolve({ status: res.statusCode!, text }));
      });
      sent.on('error', reject).end(body);
    });
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([201, { symbol: 'OFFERED' }]);
  });
});
