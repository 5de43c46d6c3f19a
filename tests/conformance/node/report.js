// Checks that say what they found in a sentence.

const checks = [];

// The setting does not have what the check needs.
export class Skipped extends Error {}

// Marks a function as a check; the sentence is true when it returns.
export function check(sentence, run) {
  checks.push({ sentence, run });
}

// Runs all checks in order; returns how many failed.
export async function run() {
  let failed = 0;
  for (const { sentence, run } of checks) {
    try {
      await run();
      console.log(`  ok       openai (node): ${sentence}`);
    } catch (error) {
      if (error instanceof Skipped) {
        console.log(`  skipped  openai (node): ${sentence} (${error.message})`);
        continue;
      }
      failed += 1;
      console.log(`  FAILED   openai (node): ${sentence}`);
      console.error(error);
    }
  }
  console.log(`${checks.length} checks, ${failed} failed`);
  return failed;
}
