/** In a process that is started with `--import` of this, every import by a file is a line in $IMPORTS_FILE: `what by whom`. */
import { register } from "node:module";

const hooks = `
  import { appendFileSync } from "node:fs";
  export function resolve(specifier, context, next) {
    appendFileSync(process.env.IMPORTS_FILE, specifier + " by " + (context.parentURL ?? "") + "\\n");
    return next(specifier, context);
  }
`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
