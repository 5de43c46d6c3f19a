//! A simulated provider: demos, load tests, the test-suite.
