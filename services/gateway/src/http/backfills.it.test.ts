import { BackfillResponse, DAY_MS, ErrorResponse, MINUTE_MS, partitionOf, toIso } from '@candlewire/contracts';
import { describeWithRedis, MONDAY_OPEN } from '@candlewire/testkit';
import { type TestGateway, type WsRig, wsRig } from '../ws/rig.suite';

describeWithRedis('backfills', () => {
  let rig: WsRig;
  let one: TestGateway;
  beforeAll(async () => {
    rig = await wsRig();
    one = await rig.gateway();
    await rig.db.store.register(['AAPL', 'MSFT'].map((symbol) => ({ symbol, name: null })));
  });
  afterAll(() => rig.close());

  const ask = (symbols: readonly string[], start: number) =>
    fetch(`${one.origin}/api/backfills`, {
      method: 'POST',
      body: JSON.stringify({ symbols, start: toIso(start), end: toIso(start + DAY_MS) }),
    });

  test('one from before the minutes that are kept is refused with the time from which they are; one from then on is not', async () => {
    const kept = MONDAY_OPEN;
    const before = kept - MINUTE_MS;
    expect((await ask(['AAPL'], before)).status).toBe(202);
    const { store } = rig.db;
    const partition = partitionOf('AAPL');
    await store.leave('test');
    const owned = (await store.claim('me', 600_000, 16)).find((claim) => claim.partition === partition)!;
    await store.moveHorizon(partition, owned.fence, kept);

    // A registered symbol counts though it has no candle yet.
    const refused = await ask(['AAPL', 'MSFT'], before);
    const { error } = ErrorResponse.strict().parse(await refused.json());
    expect([refused.status, error.code]).toEqual([400, 'invalid_parameter']);
    expect(error.message).toBe(`start: minutes before ${toIso(kept)} are not kept`);

    const accepted = await ask(['AAPL', 'MSFT'], kept);
    expect(accepted.status).toBe(202);
    expect(BackfillResponse.parse(await accepted.json()).start).toBe(toIso(kept));
    expect((await ask(['MSFT'], before)).status).toBe(202);
  });
});
