import { expect, it } from 'vitest';
import { metricDefinitions } from './metrics.ts';
import { createMetrics } from './prometheus-metrics.ts';

async function lines(metrics = createMetrics({ withProcess: false })): Promise<string[]> {
  return (await metrics.render()).split('\n');
}

it('shows every documented metric before anything happened, and no other', async () => {
  const shown = (await lines())
    .filter((line) => line.startsWith('# TYPE '))
    .map((line) => line.split(' ').slice(2).join(' '));
  expect(shown.toSorted()).toEqual(
    Object.entries(metricDefinitions)
      .map(([name, { type }]) => `${name} ${type}`)
      .toSorted(),
  );
});

it('counts invocations by outcome and puts their time into buckets of seconds', async () => {
  const metrics = createMetrics({ withProcess: false });
  metrics.invocationEnded('ok', 2);
  metrics.invocationEnded('ok', 2_000_000);
  metrics.invocationEnded('TIMEOUT', 40);
  const text = await lines(metrics);
  for (const line of [
    'berth_invocations_total{outcome="ok"} 2',
    'berth_invocations_total{outcome="TIMEOUT"} 1',
    'berth_invocation_duration_seconds_bucket{le="0.001"} 0',
    'berth_invocation_duration_seconds_bucket{le="0.002"} 1',
    'berth_invocation_duration_seconds_bucket{le="0.05"} 2',
    'berth_invocation_duration_seconds_bucket{le="900"} 2',
    'berth_invocation_duration_seconds_bucket{le="+Inf"} 3',
    'berth_invocation_duration_seconds_sum 2000.042',
    'berth_invocation_duration_seconds_count 3',
  ])
    expect(text).toContain(line);
});

it('does not grow with the values of labels', async () => {
  const metrics = createMetrics({ withProcess: false });
  for (let index = 0; index < 5_000; index++) metrics.sandboxEnded(`reason-${index}`);
  const text = await lines(metrics);
  expect(text.filter((line) => line.startsWith('berth_sandbox_ends_total{')).length).toBeLessThanOrEqual(101);
  expect(text).toContain('berth_sandbox_ends_total{reason="other"} 4900');
});

it('shows each kind of event under its name, once however often it is asked', async () => {
  const metrics = createMetrics({ withProcess: false });
  metrics.responseSent(204);
  metrics.responseSent(503);
  metrics.responseSent(999);
  metrics.coldStart(4);
  metrics.queueWait(7);
  metrics.bytecodeLoaded('taken');
  metrics.sandboxStarted(41);
  metrics.sandboxStartFailed();
  metrics.sandboxEnded('idle');
  metrics.deployEnded(true);
  metrics.deployEnded(false);
  metrics.logDropped(3, 900);
  metrics.watchSandboxes(() => ({
    blank: 4,
    starting: 1,
    claimed: 2,
    frozen: 1,
    ending: 3,
    inFlight: 9,
    waiting: 5,
  }));
  metrics.watchServices(() => ({ starting: 1, running: 6, stopped: 2, failed: 3, deleting: 0 }));
  metrics.watchServiceDisk(() => ({ all: 9_000, largest: 5_000 }));
  metrics.serviceStarted(700);
  metrics.serviceStartFailed();
  metrics.serviceEnded();
  metrics.servicePaused();
  await metrics.render();
  const text = await lines(metrics);
  for (const line of [
    'berth_http_responses_total{class="2xx"} 1',
    'berth_http_responses_total{class="5xx"} 2',
    'berth_cold_start_seconds_bucket{le="0.003"} 0',
    'berth_cold_start_seconds_bucket{le="0.005"} 1',
    'berth_queue_wait_seconds_count 1',
    'berth_bytecode_loads_total{outcome="taken"} 1',
    'berth_bytecode_loads_total{outcome="refused"} 0',
    'berth_sandbox_start_seconds_sum 0.041',
    'berth_sandbox_start_failures_total 1',
    'berth_sandbox_ends_total{reason="idle"} 1',
    'berth_deploys_total{result="ok"} 1',
    'berth_deploys_total{result="failed"} 1',
    'berth_log_dropped_lines_total 3',
    'berth_log_dropped_bytes_total 900',
    'berth_sandboxes{state="blank"} 4',
    'berth_sandboxes{state="starting"} 1',
    'berth_sandboxes{state="claimed"} 2',
    'berth_sandboxes{state="ending"} 3',
    'berth_sandboxes_frozen 1',
    'berth_invocations_in_flight 9',
    'berth_invocations_waiting 5',
    'berth_services{state="running"} 6',
    'berth_services{state="failed"} 3',
    'berth_services{state="deleting"} 0',
    'berth_service_disk_bytes{of="all"} 9000',
    'berth_service_disk_bytes{of="largest"} 5000',
    'berth_service_start_seconds_sum 0.7',
    'berth_service_start_failures_total 1',
    'berth_service_ends_total 1',
    'berth_service_pauses_total 1',
  ])
    expect(text).toContain(line);
});

it('tells about the process itself too', async () => {
  const text = await lines(createMetrics());
  expect(text.some((line) => /^process_resident_memory_bytes \d+/.test(line))).toBe(true);
  expect(text.some((line) => line.startsWith('nodejs_eventloop_lag_p99_seconds '))).toBe(true);
});
