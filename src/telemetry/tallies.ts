/** Plain numbers behind prom-client's metrics: adding costs a few nanoseconds, nothing is allocated for a sample. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type MetricName, metricDefinitions } from './metrics.ts';

/** Label values beyond this many share `other`: no caller can make the metrics grow without bound. */
const MAX_LABEL_VALUES = 100;

/** A counter, with at most one label. */
export class TallyCounter {
  readonly #counts = new Map<string, number>();

  constructor(name: MetricName, registry: Registry, known: readonly string[] = []) {
    const { says, labels } = metricDefinitions[name];
    const [label] = labels;
    for (const value of label === undefined ? [''] : known) this.#counts.set(value, 0);
    const counts = this.#counts;
    const counter = new Counter({
      name,
      help: says,
      labelNames: [...labels],
      registers: [],
      collect() {
        this.reset();
        for (const [value, count] of counts)
          if (label === undefined) this.inc(count);
          else this.inc({ [label]: value }, count);
      },
    });
    registry.registerMetric(counter);
  }

  add(value = '', count = 1): void {
    const present = this.#counts.get(value);
    if (present !== undefined) this.#counts.set(value, present + count);
    else this.#addNew(value, count);
  }

  #addNew(value: string, count: number): void {
    const key = this.#counts.size < MAX_LABEL_VALUES ? value : 'other';
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }
}

/** A histogram without labels. Takes milliseconds, shows seconds, as Prometheus wants it. */
export class TallyHistogram extends Histogram {
  readonly #name: MetricName;
  readonly #bounds: Float64Array;
  readonly #counts: Float64Array;
  #sumMs = 0;

  /** @param boundsMs upper bounds, ascending */
  constructor(name: MetricName, registry: Registry, boundsMs: readonly number[]) {
    super({
      name,
      help: metricDefinitions[name].says,
      buckets: boundsMs.map((bound) => bound / 1_000),
      registers: [registry],
    });
    this.#name = name;
    this.#bounds = Float64Array.from(boundsMs);
    this.#counts = new Float64Array(boundsMs.length + 1);
  }

  add(ms: number): void {
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && ms > bounds[bucket]!) bucket++;
    this.#counts[bucket]!++;
    this.#sumMs += ms;
  }

  /** What prom-client's registry calls when it writes text. */
  async getForPromString(): Promise<object> {
    let total = 0;
    const buckets = Array.from(this.#counts, (count, bucket) => {
      total += count;
      const bound = this.#bounds[bucket];
      const le = bound === undefined ? '+Inf' : bound / 1_000;
      return { metricName: `${this.#name}_bucket`, labels: { le }, value: total };
    });
    const sum = { metricName: `${this.#name}_sum`, labels: {}, value: this.#sumMs / 1_000 };
    const count = { metricName: `${this.#name}_count`, labels: {}, value: total };
    const help = metricDefinitions[this.#name].says;
    return {
      name: this.#name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...buckets, sum, count],
    };
  }
}

/** Gauges that are read when somebody asks. */
export function readGauge(
  name: MetricName,
  registry: Registry,
  read: () => Readonly<Record<string, number>> | number,
): void {
  const { says, labels } = metricDefinitions[name];
  const [label] = labels;
  const gauge = new Gauge({
    name,
    help: says,
    labelNames: [...labels],
    registers: [],
    collect() {
      const values = read();
      if (typeof values === 'number') this.set(values);
      else for (const [value, count] of Object.entries(values)) this.set({ [label ?? '']: value }, count);
    },
  });
  registry.registerMetric(gauge);
}
