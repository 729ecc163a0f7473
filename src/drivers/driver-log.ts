/** What a driver says to the operator's log; pino fits. */
export interface DriverLog {
  info(facts: Readonly<Record<string, unknown>>, message: string): void;
  warn(facts: Readonly<Record<string, unknown>>, message: string): void;
}
