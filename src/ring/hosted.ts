/** An index for the search in `placement.ts`; everybody is named by a number below `count`. */
export interface PartitionList {
  readonly partitions: number[];
  /** What comes before was given up. */
  first: number;
}

/**
 * Which partitions each member is to be a backup of, by who is to own them: of partitions with the same owner one is
 * often as good as another. What was given up stays in the lists.
 */
export class Hosted {
  readonly #count: number;
  readonly #lists: (PartitionList | undefined)[];

  constructor(count: number) {
    this.#count = count;
    this.#lists = new Array<PartitionList | undefined>(2 * count * count).fill(undefined);
  }

  add(i: number, target: number, hasData: boolean, partition: number): void {
    const at = (2 * i + (hasData ? 1 : 0)) * this.#count + target;
    const list = this.#lists[at];
    if (list === undefined) this.#lists[at] = { partitions: [partition], first: 0 };
    else list.partitions.push(partition);
  }

  /** The member's lists, those of partitions whose data it hasn't got first: giving them up wastes nothing. */
  of(i: number): PartitionList[] {
    const from = 2 * i * this.#count;
    return this.#lists.slice(from, from + 2 * this.#count).filter((list) => list !== undefined);
  }
}
