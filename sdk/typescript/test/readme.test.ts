// The programs that README.md begins with, as somebody pastes them.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { realServer, skipped } from "./server.js";

const run = promisify(execFile);

/** The code of the page behind a mark. */
async function shown(mark: string): Promise<string> {
  const page = await readFile("README.md", "utf8");
  const block = page.split(`<!-- snippet: ${mark} -->`)[1];
  const code = /^\s*```(?:ts|js)\n(.*?)^```$/ms.exec(block ?? "")?.[1];
  assert.ok(code !== undefined, `README.md shows no ${mark}`);
  return code;
}

/** A folder in which the package is found under its name, as it is published. */
async function folder(t: TestContext): Promise<string> {
  await mkdir("build", { recursive: true });
  const made = await mkdtemp(join("build", "readme-"));
  t.after(() => rm(made, { recursive: true, force: true }));
  await mkdir(join(made, "node_modules", "@proglog"), { recursive: true });
  await symlink(process.cwd(), join(made, "node_modules", "@proglog", "sdk"), "junction");
  await writeFile(join(made, "package.json"), '{ "type": "module" }');
  return made;
}

test("the quickstart compiles as it is shown, and runs", { skip: skipped }, async (t) => {
  const { address } = await realServer(t, "--create-on-produce", "*");
  const here = await folder(t);
  const program = join(here, "quickstart.ts");
  await writeFile(
    program,
    await shown("typescript/quickstart.ts import connect produce batch follow"),
  );
  // No configuration but what the page asks for; ES2022 has `await using` compiled for Node 20.
  const options = ["--module", "nodenext", "--target", "es2022", "--strict", "--types", "node"];
  const compiler = join("node_modules", "typescript", "bin", "tsc");
  const libraries = ["--lib", "es2022,esnext.disposable"];
  const compile = [compiler, ...options, ...libraries, "--ignoreConfig", "--outDir", here, program];
  await run(process.execPath, compile).catch((e: { stdout: string }) => assert.fail(e.stdout));
  const { stdout } = await run(process.execPath, [join(here, "quickstart.js"), "--addr", address]);
  const expected = ["produced 0", "produced 1 to 2", "0: hello", "1: how are you?", "2: goodbye"];
  assert.deepEqual(stdout.trim().split("\n"), expected);
});

test("the plain form runs in Node as it is shown", { skip: skipped }, async (t) => {
  const { address } = await realServer(t, "--create-on-produce", "*");
  const program = join(await folder(t), "plain.js");
  await writeFile(program, await shown("typescript/plain.js whole"));
  const { stdout } = await run(process.execPath, [program, "--addr", address]);
  assert.equal(stdout, "0: hello\n");
});
