/** Hostile code between two requests: what a function leaves running must not live off the host. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/platform.ts';
import { currentDriver } from '../support/test-driver.ts';
import { Arena } from './arena.ts';

/** Of the runtimes; under gVisor the quota and `idleMs` are what bounds a miner (docs/docker.md). */
const canFreeze = currentDriver() !== 'docker+runsc';
/** Shorter than what a victim has. */
const freezeMs = 1_000;
const QUOTA = 0.5;
const limits = canFreeze ? { freezeMs } : { freezeMs, cpuMillis: QUOTA * 1_000 };
/** What all sandboxes burn is measured, so the victim is left alone. */
const arena = Arena.prepare(limits, {}, false);
const MICROS_PER_TICK = 10_000;
const WATCHED_MS = 1_000;
/** A hundredth of a core: the kernel needs a moment to stop everything. */
const LITTLE_MICROS = 10_000;

/** Timers, threads and a child, all of which burn what they get, from before the first request on. */
const MINER = `
const { Worker } = require('node:worker_threads');
const { spawn } = require('node:child_process');
let mined = 0;
setInterval(() => { for (let n = 0; n < 1e6; n++) mined++; }, 1);
new Worker('for (;;) {}', { eval: true });
spawn(process.execPath, ['-e', 'for (;;) {}'], { detached: true }).unref();
module.exports = (cb) => cb(null, { mined });`;

/** CPU time of all processes of all sandboxes but the victims' and blank ones, which use none. */
function cpuMicros(): number {
  const pids = [...arena.platform.sandboxes().values()].flat();
  return pids.reduce((sum, pid) => sum + ticksOf(pid) * MICROS_PER_TICK, 0);
}

/** Fields 14 and 15 of man 5 proc_pid_stat; the second field may hold spaces and brackets. */
function ticksOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0; // it ended while we looked
  }
}

async function burnt(): Promise<number> {
  const before = cpuMicros();
  await delay(WATCHED_MS);
  return cpuMicros() - before;
}

/** The victim may be among them; it burns nothing. */
const frozen = (): Promise<number> => arena.platform.metric('berth_sandboxes_frozen');

async function untilFrozen(): Promise<void> {
  await eventually(async () => expect(await frozen()).toBeGreaterThan(0));
  await eventually(async () => expect(await burnt()).toBeLessThan(LITTLE_MICROS));
}

describe('43: a miner that works between requests', () => {
  if (canFreeze)
    it('gets no CPU once its function is idle, and answers the next request', async () => {
      const first = await arena.result<{ mined: number }>(MINER, 'miner');
      await untilFrozen();
      const next = await arena.platform.call('attacker', 'miner');
      expect(next.status).toBe(200);
      // The same sandbox: what it had mined is still there.
      expect(((await next.json()) as { mined: number }).mined).toBeGreaterThanOrEqual(first.mined);
      // It is destroyed as it is, by the deletion that follows each attack.
      await untilFrozen();
    });
  else
    it('goes on where the driver cannot freeze, within its quota, until idleMs', async () => {
      await arena.result(MINER, 'miner');
      arena.residents += 1;
      await arena.settle();
      await delay(freezeMs);
      const startedAt = performance.now();
      const micros = await burnt();
      const share = micros / 1_000 / (performance.now() - startedAt);
      expect(share).toBeGreaterThan(LITTLE_MICROS / (WATCHED_MS * 1_000));
      // Its threads and its child would take every core; the kernel's periods begin before and end after we look.
      expect(share).toBeLessThan(QUOTA * 1.5);
      expect(await frozen()).toBe(0);
      await arena.platform.must('PATCH', '/v1/tenants/attacker', { limits: { ...limits, idleMs: 1_000 } });
      arena.residents -= 1;
      await arena.settle();
      await arena.platform.must('PATCH', '/v1/tenants/attacker', { limits });
    });

  it('is idle while a burst comes in, and answers each of them', async () => {
    await arena.deploy('burst', 'let n = 0; module.exports = (cb) => cb(null, ++n);');
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => arena.platform.call('attacker', 'burst')),
      );
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
      if (canFreeze) await eventually(async () => expect(await frozen()).toBeGreaterThan(0));
      else await delay(freezeMs);
    }
  });

  it('is not what answers for longer: that goes on', async () => {
    await arena.deploy(
      'slow',
      'module.exports = (ctx, req, res) => { let n = 0; const more = () => (++n > 8 ? res.end("end") : (res.write("."), setTimeout(more, 400))); more(); };',
    );
    const response = await arena.platform.call('attacker', 'slow');
    expect(await response.text()).toBe('........end');
  });
});
