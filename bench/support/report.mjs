/** Figures for people, and for programs. */

export function printJson(bench, comparisons) {
  for (const { case: name, unit, value, baseline, ratio, target, reached } of comparisons) {
    const line = {
      bench,
      case: name,
      unit,
      value: rounded(value),
      baseline: rounded(baseline),
      ratio: rounded(ratio),
      target,
      reached,
    };
    console.log(JSON.stringify(line));
  }
}

export function printTable(comparisons) {
  const rows = [
    ["case", "value", "baseline", "unit", "ratio", "min..max", "target", ""],
    ...comparisons.map(
      ({ case: name, unit, value, baseline, ratio, ratioMin, ratioMax, target, atMost, reached }) => [
        name,
        figure(value),
        figure(baseline),
        unit,
        ratio.toFixed(2),
        `${ratioMin.toFixed(2)}..${ratioMax.toFixed(2)}`,
        target === null ? "" : `${atMost ? "<=" : ">="} ${target}`,
        reached === null ? "" : reached ? "reached" : "MISSED",
      ],
    ),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 || column === 3 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    console.log(cells.join("  ").trimEnd());
  }
}

function figure(number) {
  return number >= 1000 ? Math.round(number).toLocaleString("en-US") : number.toPrecision(3);
}

/** Four digits: more would claim to know more than was measured. */
function rounded(number) {
  return Number(number.toPrecision(4));
}
