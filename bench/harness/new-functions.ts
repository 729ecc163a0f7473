/** First requests of functions that never ran, one after another. */
import type { TestPlatform } from '../../test/support/platform.ts';
import { addTenant, deployMany, helloSource, portOf, removeTenant } from './berth.ts';
import { FirstByteClient } from './first-byte.ts';

export interface NewFunctions {
  /** of this round; it goes with its sandboxes at the end */
  readonly tenant: string;
  readonly count: number;
  /** what is waited for before each call */
  readonly before?: () => Promise<void>;
}

/** @returns milliseconds to the first byte of each */
export async function callNewFunctions(
  platform: TestPlatform,
  { tenant, count, before }: NewFunctions,
): Promise<number[]> {
  await addTenant(platform, tenant);
  const paths = await deployMany(platform, { tenant, count, source: helloSource });
  const client = await FirstByteClient.connect(portOf(platform));
  const times: number[] = [];
  for (const path of paths) {
    await before?.();
    times.push(await firstByte(client, path));
  }
  client.close();
  await removeTenant(platform, tenant);
  return times;
}

/** @throws Error when it is not answered with 200 */
export async function firstByte(client: FirstByteClient, path: string): Promise<number> {
  const { firstByteMs, status } = await client.get(path);
  if (status !== 200) throw new Error(`${path} answered ${status}`);
  return firstByteMs;
}
