"""Checks that say what they found in a sentence."""

import asyncio
import inspect
import traceback

CHECKS = []


class Skipped(Exception):
    """The setting does not have what the check needs."""


def check(sentence):
    """Marks a function as a check; the sentence is true when it returns."""

    def mark(function):
        CHECKS.append((function.__module__, sentence, function))
        return function

    return mark


def run():
    """Runs all checks in order; returns how many failed."""
    failed = 0
    for module, sentence, function in CHECKS:
        try:
            if inspect.iscoroutinefunction(function):
                asyncio.run(function())
            else:
                function()
        except Skipped as why:
            print(f"  skipped  {module}: {sentence} ({why})")
        except Exception:
            failed += 1
            print(f"  FAILED   {module}: {sentence}")
            traceback.print_exc()
        else:
            print(f"  ok       {module}: {sentence}")
    return failed
