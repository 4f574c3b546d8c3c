// Reads [[name, language, text], ...] from stdin, and writes the syntax errors of each: as modules, of Vue as components.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = (path) => createRequire(fileURLToPath(new URL(path, import.meta.url)));
const ts = here("../schema/package.json")("typescript");
const { parse } = here("./package.json")("@vue/compiler-sfc");

const faults = [];
for (const [name, language, text] of JSON.parse(readFileSync(0, "utf8"))) {
  const found = language === "html" ? parse(text).errors.map(String) : syntaxErrors(text, language);
  faults.push(...found.map((fault) => `${name}: ${fault}`));
}
console.log(JSON.stringify(faults));

function syntaxErrors(text, language) {
  const compilerOptions = { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext, jsx: ts.JsxEmit.Preserve };
  const { diagnostics } = ts.transpileModule(text, { compilerOptions, reportDiagnostics: true, fileName: `block.${language}` });
  return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " "));
}
