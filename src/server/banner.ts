/** What a user sees when the platform is up: where it is, the token, and at first three commands to try. */

export interface BannerFacts {
  readonly url: string;
  readonly driver: string;
  /** null: the token was printed at the first start already */
  readonly newToken: string | null;
  readonly tokenFile: string;
  readonly gaps: readonly string[];
  /** There is no tenant yet: the commands would meet nothing of the same name. */
  readonly isUnused: boolean;
  readonly isTerminal: boolean;
}

export function banner(facts: BannerFacts): string {
  const { url, driver, newToken, tokenFile, gaps, isUnused, isTerminal } = facts;
  const bold = (text: string): string => (isTerminal ? `\u001b[1m${text}\u001b[22m` : text);
  const lines = [
    '',
    `${bold('Berth')} serves ${bold(url)}  (driver ${driver})`,
    newToken === null
      ? `The operator's token is in ${tokenFile}`
      : `The operator's token, also in ${tokenFile}:\n  ${newToken}`,
    ...(gaps.length === 0
      ? []
      : [
          `Isolation that is missing here: ${gaps.join(', ')}. So only one tenant is allowed; see docs/threat-model.md.`,
        ]),
    '',
    ...(isUnused ? ['Try it, in this folder:', ...tryIt(url).map((command) => `  ${command}`), ''] : []),
  ];
  return lines.join('\n');
}

/** Three commands that make a tenant, deploy a function and call it. */
function tryIt(url: string): readonly [string, string, string] {
  const at = url === 'http://127.0.0.1:8787' ? '' : ` --url ${url}`;
  return [
    `npx berth tenant create acme${at}`,
    `echo 'export default (request) => new Response("Hello from my sandbox\\n")' | npx berth deploy - --tenant acme --name hello${at}`,
    `curl ${url}/run/acme/hello`,
  ];
}
