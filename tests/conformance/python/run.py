"""Runs every check and exits with 1 when one fails."""

import sys

import openai_sync
import openai_async
import openai_errors
import openai_responses
import langchain_openai_checks
import anthropic_checks
import report

MODULES = [openai_sync, openai_async, openai_errors, openai_responses, langchain_openai_checks, anthropic_checks]

if __name__ == "__main__":
    failed = report.run()
    print(f"{len(report.CHECKS)} checks in {len(MODULES)} files, {failed} failed")
    sys.exit(1 if failed else 0)
