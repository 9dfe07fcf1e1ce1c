import { Redis } from 'ioredis';
import { Client } from 'pg';
import { describeWithRedis, testDatabase, testRedis } from './servers';

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

test('each test database is empty and its own, and is gone after drop', async () => {
  const [one, two] = [await testDatabase(), await testDatabase()];
  await query(one.url, 'create table mine (x int)');
  await expect(query(two.url, 'select * from mine')).rejects.toThrow('does not exist');
  await one.drop();
  await two.drop();
  await expect(query(one.url, 'select 1')).rejects.toThrow('does not exist');
});

describeWithRedis('testRedis', () => {
  test('removes the keys below its prefix alone', async () => {
    const [one, two] = [await testRedis(), await testRedis()];
    const redis = new Redis(one!.url);
    await redis.set(`${one!.prefix}:a`, '1');
    await redis.set(`${two!.prefix}:a`, '2');
    await one!.close();
    expect(await redis.mget(`${one!.prefix}:a`, `${two!.prefix}:a`)).toEqual([null, '2']);
    await two!.close();
    await redis.quit();
  });
});
