/**
 * The policies that the store is measured against, written for plainness: exact LRU, FIFO, and S3-FIFO (Yang, Zhang, Qiu, Yue and
 * Rashmi, "FIFO queues are all you need for cache eviction", SOSP'23). `capacity` is in the unit of the sizes. Keys are numbers
 * from 0 to `keyCount` - 1. `get` says whether the key is there; `set` is called after a miss only. What is larger than the whole
 * cache isn't kept.
 */

/** Keys in the order in which they came, each removable from wherever it is: a linked list in arrays. */
class Queue {
  #sizes;
  #newer;
  #older;
  #oldest = -1;
  #newest = -1;
  /** Of the sizes. */
  total = 0;
  count = 0;

  constructor(keyCount) {
    this.#sizes = new Float64Array(keyCount).fill(-1);
    this.#newer = new Int32Array(keyCount);
    this.#older = new Int32Array(keyCount);
  }

  has(key) {
    return this.#sizes[key] >= 0;
  }

  push(key, size) {
    this.#sizes[key] = size;
    this.#older[key] = this.#newest;
    this.#newer[key] = -1;
    if (this.#newest < 0) this.#oldest = key;
    else this.#newer[this.#newest] = key;
    this.#newest = key;
    this.total += size;
    this.count++;
  }

  /** Returns its size. */
  remove(key) {
    const size = this.#sizes[key];
    const older = this.#older[key];
    const newer = this.#newer[key];
    if (older < 0) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer < 0) this.#newest = older;
    else this.#older[newer] = older;
    this.#sizes[key] = -1;
    this.total -= size;
    this.count--;
    return size;
  }

  /** The oldest. */
  shift() {
    const key = this.#oldest;
    return { key, size: this.remove(key) };
  }
}

export class Fifo {
  #queue;
  #capacity;

  constructor(capacity, keyCount) {
    this.#capacity = capacity;
    this.#queue = new Queue(keyCount);
  }

  get(key) {
    return this.#queue.has(key);
  }

  set(key, size) {
    if (size > this.#capacity) return;
    while (this.#queue.total + size > this.#capacity) this.#queue.shift();
    this.#queue.push(key, size);
  }
}

export class Lru {
  #queue;
  #capacity;

  constructor(capacity, keyCount) {
    this.#capacity = capacity;
    this.#queue = new Queue(keyCount);
  }

  get(key) {
    if (!this.#queue.has(key)) return false;
    this.#queue.push(key, this.#queue.remove(key));
    return true;
  }

  set(key, size) {
    if (size > this.#capacity) return;
    while (this.#queue.total + size > this.#capacity) this.#queue.shift();
    this.#queue.push(key, size);
  }
}

/**
 * The paper's algorithm 1 with its constants: a tenth for small, two hits to leave it for main, hits counted up to 3. The ghost
 * holds from the start what would fill the other nine tenths, as in the authors' simulator (libCacheSim): one that grows with main
 * knows little while the cache is young, and would be easier to match.
 */
export class S3Fifo {
  #small;
  #main;
  #ghost;
  #hits;
  #capacity;

  constructor(capacity, keyCount) {
    this.#capacity = capacity;
    this.#small = new Queue(keyCount);
    this.#main = new Queue(keyCount);
    this.#ghost = new Queue(keyCount);
    this.#hits = new Uint8Array(keyCount);
  }

  get(key) {
    if (!this.#small.has(key) && !this.#main.has(key)) return false;
    this.#hits[key] = Math.min(this.#hits[key] + 1, 3);
    return true;
  }

  set(key, size) {
    if (size > this.#capacity) return;
    // Room is made before the ghost is asked, as the paper has it: what is evicted now may push this key out of it.
    while (this.#small.total + this.#main.total + size > this.#capacity) this.#evict();
    this.#hits[key] = 0;
    if (this.#ghost.has(key)) {
      this.#ghost.remove(key);
      this.#main.push(key, size);
    } else {
      this.#small.push(key, size);
    }
  }

  #evict() {
    const smallIsFull = this.#small.count > 0 && this.#small.total >= this.#capacity * 0.1;
    if (smallIsFull || this.#main.count === 0) this.#evictFromSmall();
    else this.#evictFromMain();
  }

  #evictFromSmall() {
    const { key, size } = this.#small.shift();
    if (this.#hits[key] > 1) {
      this.#main.push(key, size);
      this.#hits[key] = 0;
      return;
    }
    this.#ghost.push(key, size);
    while (this.#ghost.total > this.#capacity * 0.9) this.#ghost.shift();
  }

  #evictFromMain() {
    const { key, size } = this.#main.shift();
    if (this.#hits[key] === 0) return;
    this.#main.push(key, size);
    this.#hits[key]--;
  }
}
