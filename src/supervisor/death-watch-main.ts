/** After the death of a supervisor: removes its sandboxes that are on record. Arguments: run folder, its pid, its start in ticks. */
import { setTimeout as sleep } from 'node:timers/promises';
import { groupNameOf } from '../drivers/jail/jail-ground.ts';
import { isAlive } from '../drivers/process-identity.ts';
import { recoverSandboxes } from '../drivers/recovery.ts';
import { SandboxRecords } from '../drivers/sandbox-record.ts';

const END_MS = 10_000;
const LOOK_MS = 5;
/** Nobody reads it any more; the next start tries what failed again, and says so. */
const log = { info: () => undefined, warn: () => undefined };

const [runDir = '', pid = '', startTicks = ''] = process.argv.slice(2);
const supervisor = { pid: Number(pid), startTicks };
// Its descriptors are closed a moment before it is gone.
for (const end = performance.now() + END_MS; isAlive(supervisor) && performance.now() < end;)
  await sleep(LOOK_MS);
await recoverSandboxes({ records: new SandboxRecords(runDir), runDir, groupName: groupNameOf(runDir), log });
