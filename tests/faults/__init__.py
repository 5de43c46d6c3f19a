"""Faults on purpose: real processes, broken in every way the matrix names, and three ledgers compared afterwards."""
