import { type MetricDefinition, metricDefinitions } from '../../src/telemetry/metrics.ts';
import { code, GENERATED, table } from './markdown.ts';

export function metricsPage(): string {
  const rows = Object.entries(metricDefinitions).map(([name, metric]: [string, MetricDefinition]) => [
    code(name),
    metric.type,
    metric.labels.map(code).join(', '),
    metric.says,
  ]);
  return `# Metrics

${GENERATED}

\`GET /metrics\` answers in Prometheus' text format. It wants the operator's token, unless \`metricsPublic\` is set
([configuration](configuration.md)). No metric is labelled with tenants or functions. The metrics of the process itself
(\`process_*\`, \`nodejs_*\`) are those of \`prom-client\`.

${table(['metric', 'type', 'labels', 'says'], rows)}
`;
}
