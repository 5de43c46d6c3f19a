// Runs every check and exits with 1 when one fails.

import "./chat.js";
import "./responses.js";
import "./errors.js";
import { run } from "./report.js";

process.exitCode = (await run()) === 0 ? 0 : 1;
