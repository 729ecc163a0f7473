/** One JSON log line as a person reads it: time, level, text, facts. */

const COLOURS: Readonly<Record<string, number>> = {
  trace: 90,
  debug: 90,
  info: 36,
  warn: 33,
  error: 31,
  fatal: 35,
};
const QUIET = new Set(['time', 'level', 'msg', 'pid', 'name', 'error', 'err']);

/** @param line JSON with or without newline; anything else comes back as it is */
export function prettyLine(line: string, hasColours: boolean): string {
  const record = parse(line);
  if (record === null) return line;
  const level = String(record['level'] ?? 'info');
  const paint = (text: string, colour: number): string =>
    hasColours ? `\u001b[${colour}m${text}\u001b[39m` : text;
  const facts = Object.entries(record)
    .filter(([name]) => !QUIET.has(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? quoted(value) : JSON.stringify(value)}`)
    .join(' ');
  const time = String(record['time'] ?? '').slice(11, 23);
  const head = `${paint(time, 90)} ${paint(level.padEnd(5), COLOURS[level] ?? 39)} ${String(record['msg'] ?? '')}`;
  return `${head}${facts === '' ? '' : ` ${paint(facts, 90)}`}${stackOf(record)}\n`;
}

function parse(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null; // not one of ours; shown as it is
  }
}

function quoted(text: string): string {
  return /^[\w.:/@+-]+$/.test(text) ? text : JSON.stringify(text);
}

function stackOf(record: Record<string, unknown>): string {
  const error = (record['error'] ?? record['err']) as
    | { stack?: unknown; message?: unknown }
    | string
    | undefined;
  if (error === undefined || error === null) return '';
  const text =
    typeof error === 'string' ? error : String(error.stack ?? error.message ?? JSON.stringify(error));
  return `\n${text.replaceAll(/^/gm, '    ')}`;
}
