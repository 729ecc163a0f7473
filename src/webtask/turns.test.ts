import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, it } from 'vitest';
import { DeployTurns } from '../control/deploy-turns.ts';
import { FakeClock, settled } from '../kernel/testing/fake-clock.ts';
import { takeTurn } from './turns.ts';

class FakeResponse extends EventEmitter {
  closed = false;

  close(): void {
    this.closed = true;
    this.emit('close');
  }
}

it('a turn ends with its response, or before; who has gone does not wait', async () => {
  const turns = new DeployTurns(new FakeClock(), { atOnce: 1 });
  const take = (): { response: FakeResponse; turn: Promise<() => void> } => {
    const response = new FakeResponse();
    const call = { owner: 'acme', bytes: 1 };
    return { response, turn: takeTurn(turns, call, response as unknown as ServerResponse) };
  };
  const first = take();
  const gone = take();
  const second = take();
  const third = take();
  await first.turn;
  gone.response.close();
  await expect(gone.turn).rejects.toMatchObject({ code: 'CONCURRENCY_LIMIT' });
  first.response.close();
  const end = await second.turn;
  end();
  await third.turn;
  await settled();
  for (const { response } of [first, gone]) expect(response.listenerCount('close')).toBe(0);
});
