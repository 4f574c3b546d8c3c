// Reads { asyncapi: {name: document}, typescript: {file: text} } from stdin, and writes what is wrong with each: the
// errors of @asyncapi/parser, and those of `tsc --strict --noEmit` with the types of the real socket.io-client.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Parser } from '@asyncapi/parser'
import ts from 'typescript'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const OPTIONS = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: [],
}
const ERROR = 0 // of a diagnostic of @asyncapi/parser; warnings are about style

const { asyncapi, typescript } = JSON.parse(readFileSync(0, 'utf8'))
console.log(JSON.stringify({ asyncapi: await judgeDocuments(asyncapi), typescript: judgeFiles(typescript) }))

async function judgeDocuments(documents) {
  const parser = new Parser()
  const faults = {}
  for (const [name, document] of Object.entries(documents)) {
    const found = await parser.validate(document)
    faults[name] = found.filter(({ severity }) => severity === ERROR).map(({ path, message }) => `${path.join('.')}: ${message}`)
  }
  return faults
}

// The files are as if they lay in this folder. One program for all, so that the libraries are read once.
function judgeFiles(files) {
  const texts = new Map(Object.entries(files).map(([name, text]) => [join(FOLDER, name), text]))
  const host = ts.createCompilerHost(OPTIONS)
  const { fileExists, readFile } = host
  host.fileExists = (path) => texts.has(path) || fileExists(path)
  host.readFile = (path) => texts.get(path) ?? readFile(path)
  host.getSourceFile = (path, version) => {
    const text = host.readFile(path)
    return text === undefined ? undefined : ts.createSourceFile(path, text, version)
  }
  const program = ts.createProgram([...texts.keys()], OPTIONS, host)
  const faults = Object.fromEntries(Object.keys(files).map((name) => [name, []]))
  for (const { file, start, messageText } of ts.getPreEmitDiagnostics(program)) {
    const text = ts.flattenDiagnosticMessageText(messageText, ' ')
    const name = file?.fileName.replace(FOLDER, '')
    const line = file && file.getLineAndCharacterOfPosition(start).line + 1
    faults[name] ??= []
    faults[name].push([line, text])
  }
  return faults
}
