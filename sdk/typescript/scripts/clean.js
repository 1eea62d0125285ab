// Removes a folder of this package that a build makes anew.
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = process.argv[2];
if (folder !== "dist" && folder !== "build") throw new Error(`no folder of a build: ${folder}`);
rmSync(fileURLToPath(new URL(`../${folder}`, import.meta.url)), {
  recursive: true,
  force: true,
});
