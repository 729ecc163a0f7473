/** How much CPU something takes: unlike time by the clock it does not grow with what else the machine does. Only for tests. */

const MICROS_PER_MS = 1_000;

/** @returns milliseconds of CPU that this process spent, all threads together, until `work` had settled */
export async function cpuMsOf(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / MICROS_PER_MS;
}
