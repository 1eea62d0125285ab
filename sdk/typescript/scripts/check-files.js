// Holds what npm would publish against what a user needs: the built files, the types of
// each, and the pages beside them; no sources, no tests, nothing that was left behind.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
const packed = JSON.parse(execFileSync("npm", args, { cwd: root, encoding: "utf8" }));
// Newer versions of npm answer with an object of packages, older ones with a list.
const [pack] = Object.values(packed);
const files = pack.files.map((f) => f.path).sort();
const wrong = [];

for (const path of ["LICENSE", "README.md", "CHANGELOG.md", "package.json"]) {
  if (!files.includes(path)) wrong.push(`${path} is missing`);
}
for (const name of ["index", "browser"]) {
  for (const end of [".js", ".d.ts"]) {
    if (!files.includes(`dist/${name}${end}`)) wrong.push(`dist/${name}${end} is missing`);
  }
}
const pages = new Set(["LICENSE", "README.md", "CHANGELOG.md", "package.json"]);
for (const path of files) {
  if (!pages.has(path) && !/^dist\/.*\.(js|d\.ts)$/.test(path)) wrong.push(`${path} is too much`);
  const twin = path.replace(/\.js$/, ".d.ts");
  if (path.endsWith(".js") && !files.includes(twin)) wrong.push(`${twin} is missing`);
}
if (wrong.length > 0) {
  console.error(`what would be published is wrong:\n  ${wrong.join("\n  ")}`);
  process.exit(1);
}
console.log(`${files.length} files would be published`);
