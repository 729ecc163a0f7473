/** What the scripts tell the person at the terminal: one plain sentence a line, on stderr. */
export function say(sentence) {
  process.stderr.write(`berth: ${sentence}\n`);
}
