/**
 * Adds up vitest's JSON reports and prints, as the last lines of a run, what failed and CI's closing line. Of a long
 * log often only the end is kept: whoever reads that must still learn which test it was.
 * Plain JavaScript: it runs on a system Node 20 too.
 */
import { readFileSync } from "node:fs";
import { relative } from "node:path";

const MESSAGE_LINES = 12;

let passed = 0;
let failed = 0;
let skipped = 0;
for (const path of process.argv.slice(2)) {
  try {
    const report = JSON.parse(readFileSync(path, "utf8"));
    passed += report.numPassedTests;
    failed += report.numFailedTests;
    skipped += report.numPendingTests + (report.numTodoTests ?? 0);
    for (const file of report.testResults) {
      // A file that does not even load, or whose worker died, has no failed test to count.
      const tests = file.assertionResults.filter((test) => test.status === "failed");
      if (file.status === "failed" && file.assertionResults.length === 0) {
        failed++;
        tell(relative(process.cwd(), file.name), file.message);
      }
      for (const test of tests) {
        tell(`${relative(process.cwd(), file.name)} > ${test.fullName}`, test.failureMessages?.join("\n"));
      }
    }
  } catch (error) {
    console.error(`no test report at ${path}: ${error.message}`);
    failed++;
  }
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);

function tell(name, message) {
  const lines = String(message ?? "")
    .split("\n")
    .slice(0, MESSAGE_LINES);
  console.log(`FAILED ${name}\n${lines.map((line) => `    ${line}`).join("\n")}`);
}
