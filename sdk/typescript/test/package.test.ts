// The package as users have it: its two entries by name, and its types. (The README's code is
// cut from the examples, whose tests run it.)
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** How long, in ms, a program may take that closes what it opened. */
const endLimit = 30_000;

/** Runs a program inside of the package, where its own name leads to what was built. */
async function run(t: TestContext, program: string, ...args: string[]): Promise<string> {
  const folder = await mkdtemp(join(root, "build", "program-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "program.mjs");
  await writeFile(file, program);
  const options = { timeout: endLimit, killSignal: "SIGKILL" } as const;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [...args, file], options);
  assert.equal(stderr, "", "nothing is warned of");
  return stdout;
}

test("each platform gets its entry, with the same names", async (t) => {
  const program = `
    import * as sdk from "@proglog/sdk";
    console.log(JSON.stringify([import.meta.resolve("@proglog/sdk"), Object.keys(sdk)]));
  `;
  const [node, names] = JSON.parse(await run(t, program)) as [string, string[]];
  const browser = JSON.parse(await run(t, program, "--conditions=browser")) as [string, string[]];
  assert.match(node, /\/dist\/index\.js$/);
  assert.match(browser[0], /\/dist\/browser\.js$/);
  assert.deepEqual(browser[1], names);
  for (const name of ["Client", "ProglogError", "VERSION"]) assert.ok(names.includes(name), name);
});

test("the browser's entry needs nothing of Node", async () => {
  const seen = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    if (seen.has(name)) return;
    seen.add(name);
    const source = await readFile(join(root, "dist", name), "utf8");
    for (const [, from] of source.matchAll(/(?:from|import) "([^"]+)"/g)) {
      assert.ok(!from!.startsWith("node:"), `${name} imports ${from}`);
      assert.notEqual(from, "@connectrpc/connect-node", name);
      if (from!.startsWith(".")) await visit(join(name, "..", from!));
    }
  };
  await visit("browser.js");
  assert.ok(seen.size > 10);
});

/** Programs of users, and the libraries and types that their compilers know. */
const users = [
  { entry: "@proglog/sdk", lib: "ES2022", types: "node" },
  { entry: "@proglog/sdk", lib: "ES2022,DOM,ESNext.Disposable", types: "" },
  { entry: "@proglog/sdk/browser", lib: "ES2022", types: "node" },
  { entry: "@proglog/sdk/browser", lib: "ES2022,DOM,ESNext.Disposable", types: "" },
];

for (const { entry, lib, types } of users)
  test(`the types of ${entry} are whole with ${lib}`, async (t) => {
    const folder = await mkdtemp(join(root, "build", "types-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await writeFile(
      join(folder, "program.mts"),
      `import { Client } from "${entry}";
       const client = new Client("http://127.0.0.1:8400", { trace: ({ headers }) => headers.set("a", "b") });
       for await (const { offset } of client.follow()) if (offset > 1n) break;
       await client.close();
       // @ts-expect-error: if types were missing, anything would do
       client.consume(0, { waitMs: "long" });`,
    );
    const args = [
      "--noEmit",
      "--strict",
      "--exactOptionalPropertyTypes",
      "--skipLibCheck",
      "false",
    ];
    args.push("--target", "ES2022", "--module", "nodenext", "--lib", lib, "--types", types);
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    const program = [tsc, "--ignoreConfig", ...args, "program.mts"];
    const options = { cwd: folder, timeout: 2 * endLimit, killSignal: "SIGKILL" } as const;
    const checked = await promisify(execFile)(process.execPath, program, options).catch(
      (e: { stdout?: string }) => e,
    );
    assert.equal(checked.stdout, "");
  });
