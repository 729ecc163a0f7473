import { apiLimits } from '../../src/api/api-limits.ts';
import {
  type FixedLimit,
  type LimitDefinition,
  limitDefinitions,
  platformLimits,
} from '../../src/contracts/limits.ts';
import { webtaskLimits } from '../../src/webtask/webtask-limits.ts';
import { code, GENERATED, table } from './markdown.ts';

export function limitsPage(): string {
  const own = Object.entries(limitDefinitions).map(([name, limit]: [string, LimitDefinition]) => [
    code(name),
    limit.says,
    ...[limit.default, limit.floor, limit.ceiling].map((value) => amount(value, limit.unit)),
  ]);
  return `# Limits

${GENERATED}

Every limit has a name, which stands in the error when it is reached ([errors](errors.md)).

## Of a tenant

The operator sets values for all tenants in the [configuration](configuration.md) (\`limits\`), and for one tenant with
\`PATCH /v1/tenants/{tenant}\` ([API](api.md)), between floor and ceiling. A change takes effect without a restart.

${table(['limit', 'what it limits', 'default', 'floor', 'ceiling'], own)}

## Of the platform

The same for every tenant, whichever API is asked.

${fixedTable(platformLimits)}

## Of the API

The same for every tenant.

${fixedTable(apiLimits)}

## Of the webtask API

The same for every container ([webtask](webtask.md)).

${fixedTable(webtaskLimits)}
`;
}

function fixedTable(limits: Readonly<Record<string, FixedLimit>>): string {
  const rows = Object.entries(limits).map(([name, limit]) => [
    code(name),
    limit.says,
    amount(limit.value, limit.unit),
  ]);
  return table(['limit', 'what it limits', 'value'], rows);
}

const KiB = 1024;
const binary = [
  [KiB ** 4, 'TiB'],
  [KiB ** 3, 'GiB'],
  [KiB ** 2, 'MiB'],
  [KiB, 'KiB'],
] as const;
const units: Readonly<Record<LimitDefinition['unit'], string>> = {
  ms: 'ms',
  bytes: 'B',
  count: '',
  millicores: 'millicores',
  'per-second': '/s',
};

/** In the largest unit that leaves a whole number. */
function amount(value: number, unit: LimitDefinition['unit']): string {
  const [size, name] =
    (unit === 'bytes' && value > 0 && binary.find(([step]) => value % step === 0)) ||
    ([1, units[unit]] as const);
  return `${(value / size).toLocaleString('en-US')} ${name}`.trim();
}
