import { ErrorResponse, partitionOf, RebuildResponse } from '@candlewire/contracts';
import { describeWithRedis } from '@candlewire/testkit';
import { type TestGateway, type WsRig, wsRig } from '../ws/rig.suite';

describeWithRedis('rebuilds', () => {
  let rig: WsRig;
  let one: TestGateway;

  beforeAll(async () => {
    rig = await wsRig();
    one = await rig.gateway();
    await rig.db.store.register(['AAPL', 'MSFT'].map((symbol) => ({ symbol, name: null })));
  });
  afterAll(() => rig.close());

  const post = (body: string) => fetch(`${one.origin}/api/rebuilds`, { method: 'POST', body });
  const report = async (id: string) => {
    const response = await fetch(`${one.origin}/api/rebuilds/${id}`);
    return RebuildResponse.strict().parse(await response.json());
  };
  async function refused(response: Response, status: number, code: string, name: RegExp): Promise<void> {
    const { error } = ErrorResponse.strict().parse(await response.json());
    expect([response.status, error.code]).toEqual([status, code]);
    expect(error.message).toMatch(name);
  }

  test('one that is asked for is accepted, and then told with its progress', async () => {
    const response = await post('{"symbols":["msft","AAPL","AAPL"],"from":"2025-11-03"}');
    expect(response.status).toBe(202);
    const made = RebuildResponse.strict().parse(await response.json());
    expect(response.headers.get('location')).toBe(`/api/rebuilds/${made.id}`);
    const waiting = { state: 'requested', next: null, candles: 0, differences_count: 0, error: null };
    expect(made).toMatchObject({
      state: 'requested',
      from: '2025-11-03',
      candles: 0,
      symbols: [
        { symbol: 'AAPL', ...waiting },
        { symbol: 'MSFT', ...waiting },
      ],
    });
    expect(await report(made.id)).toEqual(made);

    const { store } = rig.db;
    const [aapl, msft] = ['AAPL', 'MSFT'].map((symbol) => partitionOf(symbol)) as [number, number];
    const fences = await ownFences();
    await store.beginRebuild(aapl, { id: made.id, symbols: ['AAPL'], from: Date.UTC(2025, 10, 3, 5) });
    const difference = {
      ...{ symbol: 'AAPL', interval: '5m', timestamp: '2025-11-03T14:30:00Z', kind: 'different' },
      fields: { volume: { stored: 7, rebuilt: 700 } },
    };
    const step = {
      id: made.id,
      symbol: 'AAPL',
      compared: 20,
      found: 1,
      told: [JSON.stringify(difference)],
      series: [],
    };
    const position = { journalId: null, entry: 0, clock: null };
    await store.commitRebuild(aapl, fences.get(aapl)!, position, { ...step, next: Date.UTC(2025, 10, 4, 5) });
    expect(await report(made.id)).toMatchObject({
      state: 'running',
      candles: 20,
      differences_count: 1,
      symbols: [{ symbol: 'AAPL', state: 'running', next: '2025-11-04' }, { state: 'requested' }],
      differences: [difference],
    });

    await store.commitRebuild(aapl, fences.get(aapl)!, position, {
      ...step,
      compared: 0,
      found: 0,
      told: [],
      next: null,
    });
    await store.beginRebuild(msft, { id: made.id, symbols: ['MSFT'], from: null });
    await store.failRebuild(made.id, 'MSFT', 'broken');
    expect(await report(made.id)).toMatchObject({
      state: 'done',
      symbols: [
        { state: 'done', next: null, candles: 20, differences_count: 1 },
        { state: 'failed', error: 'broken' },
      ],
    });
  });

  async function ownFences(): Promise<Map<number, number>> {
    await rig.db.store.leave('test');
    const claims = await rig.db.store.claim('me', 600_000, 16);
    return new Map(claims.map(({ partition, fence }) => [partition, fence]));
  }

  test.each([
    ['no body', '', /^body/],
    ['no symbols', '{}', /^symbols/],
    ['no symbol', '{"symbols":[]}', /^symbols/],
    ['a text of symbols', '{"symbols":"AAPL"}', /^symbols/],
    ['too many symbols', JSON.stringify({ symbols: Array(501).fill('AAPL') }), /^symbols/],
    ['a bad symbol', '{"symbols":["A/B"]}', /^symbol/],
    ['a day that is none', '{"symbols":["AAPL"],"from":"2025-02-30"}', /^from/],
    ['an instant', '{"symbols":["AAPL"],"from":"2025-11-03T00:00:00Z"}', /^from/],
    ['a number for a day', '{"symbols":["AAPL"],"from":20251103}', /^from/],
  ])('%s is refused by name', async (_what, body, name) => {
    await refused(await post(body), 400, 'invalid_parameter', name);
  });

  test('what was never seen is not found', async () => {
    await refused(await post('{"symbols":["AAPL","NOBODY"]}'), 404, 'unknown_symbol', /^NOBODY/);
    for (const id of ['x', '00000000-0000-0000-0000-000000000000'])
      await refused(await fetch(`${one.origin}/api/rebuilds/${id}`), 404, 'not_found', /rebuild/);
  });
});
