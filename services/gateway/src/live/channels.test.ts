import { OpenChannels } from './channels';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

test('what hears a channel is closed with it, a while after its last user', () => {
  const closed: string[] = [];
  const bus = { relay: async () => async () => {} };
  const channels = new OpenChannels<{ hear(): void; close?(): void }>(bus, () => {}, 1_000);
  const use = (name: string) => channels.use(name, () => ({ hear() {}, close: () => void closed.push(name) }));
  const one = use('one');
  use('another');
  one.release();
  jest.advanceTimersByTime(999);
  expect(closed).toEqual([]);
  jest.advanceTimersByTime(1);
  expect(closed).toEqual(['one']);
  channels.use('silent', () => ({ hear() {} }));
  channels.close();
  expect(closed).toEqual(['one', 'another']);
});
