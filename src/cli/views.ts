/** Small pieces of what commands print. */
import type { Output } from './output.ts';

/** `2026-01-31 12:00:00`, UTC */
export function when(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ');
}

/** Names and values below each other. */
export function fields(output: Output, rows: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${output.style('dim', name.padEnd(width))}  ${value}`).join('\n');
}

export function sizeOf(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  const kibibytes = bytes / 1_024;
  return kibibytes < 1_024 ? `${kibibytes.toFixed(1)} KiB` : `${(kibibytes / 1_024).toFixed(1)} MiB`;
}

/** `3 lines`, `1 line` */
export function counted(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}
