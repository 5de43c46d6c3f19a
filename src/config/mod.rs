//! The file and the environment, made into every module's `Settings`.
