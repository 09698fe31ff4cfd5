/** The help texts, made from the tables in `options.ts`. */
import { type CommandName, commands, type Option, optionNames, options } from "./options.ts";

const widthMax = 100;

export function generalHelp(): string {
  const list = Object.entries(commands).map(
    ([name, { operands, summary }]) => [[name, ...operands].join(" "), summary] as const,
  );
  return [
    "ringcache: a distributed cache for Node.js",
    "",
    "Usage: ringcache [COMMAND] [OPTIONS]",
    "",
    "Commands:",
    ...columns(list),
    "",
    "`ringcache COMMAND --help` lists the options of a command. Those of `start`:",
    "",
    ...optionLines("start"),
    "",
    "Every option may be written -name VALUE, --name VALUE or --name=VALUE. It beats its environment",
    "variable, RINGCACHE_NAME, which beats the default.",
    "",
  ].join("\n");
}

export function commandHelp(command: CommandName): string {
  const { operands, summary } = commands[command];
  const lines = [`Usage: ringcache ${[command, ...operands].join(" ")} [OPTIONS]`, "", summary, ""];
  if (operands.length > 0) lines.push("Write -- before an argument that starts with a dash.", "");
  return [...lines, ...optionLines(command), ""].join("\n");
}

function optionLines(command: CommandName): string[] {
  const rows = optionNames
    .map((name) => ({ name, option: options[name] as Option<unknown> }))
    .filter(({ option }) => option.commands.includes(command))
    .map(({ name, option }) => {
      const preset = option.defaultIn?.[command] ?? option.default;
      const notes = [
        ...(preset === "" || option.kind.placeholder === "" ? [] : [`default ${preset}`]),
        ...(option.env === undefined ? [] : [`env ${option.env}`]),
      ];
      const text = option.description.replaceAll("`", "");
      return [
        `--${name} ${option.kind.placeholder}`.trimEnd(),
        notes.length === 0 ? text : `${text} (${notes.join(", ")})`,
      ] as const;
    });
  return [
    "Options:",
    ...columns([...rows, ["--help", "Prints this."], ["--version", "Prints the version."]]),
  ];
}

/** Two columns, the second wrapped; a long first one stands on a line of its own. */
function columns(rows: readonly (readonly [string, string])[]): string[] {
  const left = Math.min(28, Math.max(...rows.map(([first]) => first.length))) + 4;
  return rows.flatMap(([first, second]) => {
    const wrapped = wrap(second, widthMax - left).map((line) => " ".repeat(left) + line);
    const head = `  ${first}`;
    if (head.length + 2 > left) return [head, ...wrapped];
    return [head.padEnd(left) + (wrapped[0] ?? "").trimStart(), ...wrapped.slice(1)];
  });
}

function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1]!;
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}
