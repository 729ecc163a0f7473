/** One thing at a time, and the owners of what waits take turns: who brings much waits for himself, not the others for him. */

interface Waiting {
  readonly go: () => void;
}

export class FairTurns {
  /** Owners with something that waits; the one whose turn is next stands first. */
  readonly #lines = new Map<string, Waiting[]>();
  #isBusy = false;

  /** Runs `job` when its owner's turn comes; what waits is bounded by the callers. @returns what it gives, throws what it throws */
  async run<Value>(owner: string, job: () => Promise<Value>): Promise<Value> {
    if (this.#isBusy) await this.#wait(owner);
    this.#isBusy = true;
    try {
      return await job();
    } finally {
      this.#next();
    }
  }

  #wait(owner: string): Promise<void> {
    return new Promise((go) => {
      const line = this.#lines.get(owner);
      if (line === undefined) this.#lines.set(owner, [{ go }]);
      else line.push({ go });
    });
  }

  /** Stays busy for whom it lets go: nobody gets in between. */
  #next(): void {
    const [first] = this.#lines;
    if (first === undefined) {
      this.#isBusy = false;
      return;
    }
    const [owner, line] = first;
    const waiting = line.shift();
    this.#lines.delete(owner);
    if (line.length > 0) this.#lines.set(owner, line);
    waiting?.go();
  }
}
