// Bundles printed files for a browser: stdin has { files: {name: text}, entry, gateway }, stdout gets the script.
//
// Only the address differs from what is printed: `socket.io-client` is the real one, connected to `gateway`.
import { readFileSync } from "node:fs";
import { dirname, extname } from "node:path";
import { fileURLToPath } from "node:url";
import { compileScript, parse } from "@vue/compiler-sfc";
import { build } from "esbuild";

const { files, entry, gateway } = JSON.parse(readFileSync(0, "utf8"));
const folder = dirname(fileURLToPath(import.meta.url));
const CLIENT = `
import { io as connect } from "socket.io-client/real";
export const io = (url, options) => connect(${JSON.stringify(gateway)} + new URL(url).pathname, options);
`;

const printed = {
  name: "printed",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^socket\.io-client\/real$/ }, () => ({
      path: `${folder}/node_modules/socket.io-client/dist/socket.io.esm.min.js`,
    }));
    onResolve({ filter: /^socket\.io-client$/ }, () => ({ path: "client.js", namespace: "printed" }));
    onResolve({ filter: /^\.\//, namespace: "printed" }, ({ path }) => ({ path: path.slice(2), namespace: "printed" }));
    onLoad({ filter: /.*/, namespace: "printed" }, ({ path }) => ({
      contents: path === "client.js" ? CLIENT : path.endsWith(".vue") ? component(files[path], path) : files[path],
      loader: extname(path) === ".vue" ? "js" : extname(path).slice(1),
      resolveDir: folder,
    }));
  },
};

function component(text, filename) {
  const { descriptor } = parse(text, { filename });
  return compileScript(descriptor, { id: filename, inlineTemplate: true }).content;
}

const { outputFiles } = await build({
  stdin: { contents: `import "./${entry}"`, resolveDir: folder },
  plugins: [{ name: "entry", setup: ({ onResolve }) => onResolve({ filter: /^\.\// }, ({ path, importer }) =>
    importer === "<stdin>" ? { path: path.slice(2), namespace: "printed" } : undefined) }, printed],
  alias: { "react-native": "react-native-web" },
  define: { "process.env.NODE_ENV": '"development"', __VUE_OPTIONS_API__: "true", __VUE_PROD_DEVTOOLS__: "false",
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
  jsx: "automatic",
  bundle: true,
  write: false,
  format: "iife",
  logLevel: "error",
});
process.stdout.write(outputFiles[0].text);
