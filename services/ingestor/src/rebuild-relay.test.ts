import type { RebuildOrder } from '@candlewire/contracts';
import { silentLogger } from '@candlewire/runtime';
import { waitFor } from '@candlewire/testkit';
import { manualTime } from './manual-time.suite';
import { relayRebuilds } from './rebuild-relay';

const order = (id: string) => ({ partition: 3, order: { id, symbols: ['AAPL'], from: null } });

function relay(append: (order: RebuildOrder) => Promise<void>) {
  const time = manualTime();
  const stop = new AbortController();
  const inbox: (ReturnType<typeof order>[] | Error)[] = [];
  let looks = 0;
  const store = {
    relayRebuilds: async () => {
      looks++;
      const next = inbox.shift() ?? [];
      if (next instanceof Error) throw next;
      return next;
    },
  };
  const running = relayRebuilds(
    { store, append: (_partition, one) => append(one), time, logger: silentLogger },
    stop.signal,
  );
  const look = async () => {
    const before = looks;
    await waitFor(() => {
      time.advance(1_000);
      return looks > before;
    });
  };
  return { inbox, look, running, stop };
}

test('what is to be ordered is appended, each second anew, also after the store was away', async () => {
  const appended: string[] = [];
  const { inbox, look, running, stop } = relay(async ({ id }) => void appended.push(id));
  inbox.push(new Error('away'), [order('a'), order('b')], [order('c')]);
  for (let i = 0; i < 4; i++) await look();
  expect(appended).toEqual(['a', 'b', 'c']);
  stop.abort();
  await running;
});

test('an append that can never succeed ends the relay', async () => {
  const { inbox, look, running } = relay(() => Promise.reject(new Error('somebody else leads')));
  const ended = expect(running).rejects.toThrow('somebody else leads');
  inbox.push([order('a')]);
  await look();
  await ended;
});
