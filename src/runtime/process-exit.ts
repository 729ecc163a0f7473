/** `process.exit` without its event, held before tenants' code can replace it. */
type WithReallyExit = NodeJS.Process & { reallyExit(code: number): never };

export const reallyExit = (process as WithReallyExit).reallyExit.bind(process);
