// @ts-check
/** Light, dark, or as the system is. Remembered for this address, if the browser lets it. */

const names = /** @type {const} */ (["auto", "light", "dark"]);
const storageKey = "ringcache-theme";

export class Theme {
  /** @type {typeof names[number]} */
  name = "auto";
  /** @type {() => void} */ #changed;

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
    const stored = read();
    this.name = names.find((name) => name === stored) ?? "auto";
    this.#apply();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  }

  next = () => {
    this.name = /** @type {typeof names[number]} */ (names[(names.indexOf(this.name) + 1) % names.length]);
    try {
      localStorage.setItem(storageKey, this.name);
    } catch {
      // Then it is forgotten with the page.
    }
    this.#apply();
    this.#changed();
  };

  #apply() {
    document.documentElement.dataset.theme = this.name;
  }
}

function read() {
  try {
    return localStorage.getItem(storageKey);
  } catch {
    return null;
  }
}
