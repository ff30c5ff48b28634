/**
 * Adds up vitest's JSON reports and prints, as the last lines of a run, what failed, what passed only when it was
 * repeated (flaky), and CI's closing line. Of a long log often only the end is kept: whoever reads that must still learn
 * which test it was.
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
      if (file.status === "failed" && file.assertionResults.length === 0) {
        failed++;
        tell("FAILED", relative(process.cwd(), file.name), file.message);
      }
      for (const test of file.assertionResults) {
        // A test that passed in the end keeps the message of the try before.
        if (test.failureMessages.length === 0) continue;
        const outcome = test.status === "passed" ? "FLAKY" : "FAILED";
        tell(
          outcome,
          `${relative(process.cwd(), file.name)} > ${test.fullName}`,
          test.failureMessages.join("\n"),
        );
      }
    }
  } catch (error) {
    console.error(`no test report at ${path}: ${error.message}`);
    failed++;
  }
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);

function tell(outcome, name, message) {
  const lines = String(message ?? "")
    .split("\n")
    .filter((line) => !line.includes("node_modules"))
    .slice(0, MESSAGE_LINES);
  console.log(`${outcome} ${name}\n${lines.map((line) => `    ${line}`).join("\n")}`);
}
