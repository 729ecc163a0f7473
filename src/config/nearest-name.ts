/** "Did you mean …?" for a mistyped name. */

/** @returns the candidate with the fewest edits, if it is near enough to be what was meant */
export function nearestName(name: string, candidates: readonly string[]): string | null {
  let best: { readonly candidate: string; readonly edits: number } | null = null;
  const wanted = name.slice(0, 100).toLowerCase();
  for (const candidate of candidates) {
    const edits = editDistance(wanted, candidate.toLowerCase());
    if (edits <= Math.max(2, candidate.length / 4) && (best === null || edits < best.edits))
      best = { candidate, edits };
  }
  return best?.candidate ?? null;
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
