/** Calls of functions whose time does not matter. */
import { Agent, request } from 'undici';

const CALL_MS = 60_000;

/** Calls every path once, a few at a time. @throws Error when one does not answer 200 */
export async function callAll(url: string, paths: readonly string[], atOnce = 4): Promise<void> {
  const agent = new Agent({ connections: atOnce });
  const left = paths.values();
  const worker = async (): Promise<void> => {
    for (const path of left) {
      const signal = AbortSignal.timeout(CALL_MS);
      const { statusCode, body } = await request(url + path, { dispatcher: agent, signal });
      const text = await body.text();
      if (statusCode !== 200) throw new Error(`${path} answered ${statusCode}: ${text}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: atOnce }, worker));
  } finally {
    await agent.close();
  }
}
