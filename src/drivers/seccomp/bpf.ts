/**
 * A small assembler for classic BPF as seccomp takes it (man 2 seccomp, linux/filter.h): instructions with labels in,
 * `struct sock_filter[]` out. Conditional jumps reach 255 instructions only, so each is paired with an unconditional one.
 */

export const opcode = {
  loadWord: 0x20,
  and: 0x54,
  jump: 0x05,
  jumpEqual: 0x15,
  jumpGreater: 0x25,
  jumpGreaterOrEqual: 0x35,
  return: 0x06,
} as const;

export interface Instruction {
  readonly code: number;
  readonly jumpTrue: number;
  readonly jumpFalse: number;
  readonly k: number;
}

/** linux/bpf_common.h BPF_MAXINSNS */
export const MAX_INSTRUCTIONS = 4096;

type Draft = Instruction | { readonly jumpTo: string };

export class BpfAssembler {
  readonly #drafts: Draft[] = [];
  readonly #labels = new Map<string, number>();
  #unique = 0;

  /** A label that no other call returned. */
  newLabel(hint: string): string {
    this.#unique += 1;
    return `${hint}#${this.#unique}`;
  }

  label(name: string): void {
    if (this.#labels.has(name)) throw new RangeError(`label ${name} stands twice`);
    this.#labels.set(name, this.#drafts.length);
  }

  loadWord(offset: number): void {
    this.#emit(opcode.loadWord, offset);
  }

  and(mask: number): void {
    this.#emit(opcode.and, mask);
  }

  return(value: number): void {
    this.#emit(opcode.return, value);
  }

  jump(target: string): void {
    this.#drafts.push({ jumpTo: target });
  }

  jumpIfEqual(value: number, target: string): void {
    this.#jumpIf(opcode.jumpEqual, value, target);
  }

  jumpIfAtLeast(value: number, target: string): void {
    this.#jumpIf(opcode.jumpGreaterOrEqual, value, target);
  }

  /** @throws RangeError on a label that is missing or behind, or a program that the kernel would not take */
  assemble(): Instruction[] {
    if (this.#drafts.length > MAX_INSTRUCTIONS) throw new RangeError('the BPF program is too long');
    return this.#drafts.map((draft, at) => ('jumpTo' in draft ? this.#resolve(draft.jumpTo, at) : draft));
  }

  #resolve(target: string, at: number): Instruction {
    const position = this.#labels.get(target);
    if (position === undefined || position <= at) throw new RangeError(`label ${target} is not ahead`);
    return { code: opcode.jump, jumpTrue: 0, jumpFalse: 0, k: position - at - 1 };
  }

  #jumpIf(code: number, value: number, target: string): void {
    this.#drafts.push({ code, jumpTrue: 0, jumpFalse: 1, k: value >>> 0 });
    this.jump(target);
  }

  #emit(code: number, k: number): void {
    this.#drafts.push({ code, jumpTrue: 0, jumpFalse: 0, k: k >>> 0 });
  }
}

/** The program as the kernel's little-endian `struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; }[]`. */
export function encodeProgram(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach((instruction, index) => {
    const at = index * 8;
    bytes.writeUInt16LE(instruction.code, at);
    bytes.writeUInt8(instruction.jumpTrue, at + 2);
    bytes.writeUInt8(instruction.jumpFalse, at + 3);
    bytes.writeUInt32LE(instruction.k, at + 4);
  });
  return bytes;
}
